"""What others' libraries need for the same pain.001.001.09, each by its own documented calls with validation on; those that are installed.

IBANs and Latin names, because these libraries take no others; one block, ``n`` payments.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

IBAN = "DE89370400440532013000"
BIC = "DEUTDEFFXXX"
PURPOSE = "pension of June 2015"
DAY = dt.date(2015, 6, 10)
PAINFREE_MAX = 1_000  # payments of one document of painfree's


def sepaxml(count: int) -> float:
    """sepaxml: a dict per payment, exported with its schema check."""
    from sepaxml import SepaTransfer

    began = time.perf_counter()
    config = {"name": "Bureau", "IBAN": IBAN, "batch": True, "currency": "EUR"}
    transfer = SepaTransfer(config, schema="pain.001.001.09", clean=False)
    for number in range(count):
        payment = {
            "name": "Zhang San",
            "IBAN": IBAN,
            "amount": 184_000,
            "execution_date": DAY,
            "description": PURPOSE,
            "BIC": BIC,
        }
        transfer.add_payment(payment | {"endtoend_id": str(number)})
    transfer.export(validate=True)
    return time.perf_counter() - began


def pain001(count: int) -> float:
    """pain001: its template over rows of text, held to the schema that it carries."""
    import pain001 as package
    from pain001.xml.generate_xml import generate_xml_string

    folder = Path(package.__file__).parent / "templates" / "pain.001.001.09"
    row: dict[str, Any] = {
        "id": "MSG1", "date": "2015-06-10T09:00:00", "nb_of_txs": str(count), "initiator_name": "Bureau",
        "payment_information_id": "P1", "payment_method": "TRF", "batch_booking": "true", "service_level_code": "SEPA",
        "requested_execution_date": "2015-06-10", "debtor_name": "Bureau", "debtor_account_IBAN": IBAN, "debtor_agent_BIC": BIC,
        "charge_bearer": "SLEV", "payment_amount": "1840.00", "currency": "EUR", "payment_currency": "EUR", "ctrl_sum": f"{1840 * count}.00",
        "creditor_agent_BIC": BIC, "creditor_name": "Zhang San", "creditor_account_IBAN": IBAN, "remittance_information": PURPOSE,
        "forwarding_agent_BIC": BIC,
    }  # fmt: skip
    rows = [row | {"payment_id": str(number)} for number in range(count)]
    began = time.perf_counter()
    generate_xml_string(rows, "pain.001.001.09", str(folder / "template.xml"), str(folder / "pain.001.001.09.xsd"))
    return time.perf_counter() - began


def painfree(count: int) -> float:
    """painfree: its own types, built and held to the schema, a thousand payments a document."""
    from painfree import pain001 as builder
    from painfree import payments

    began = time.perf_counter()
    party = payments.Party(name="Zhang San", postal_address=payments.PostalAddress(town="Foshan", country="CH"))
    for first in range(0, count, PAINFREE_MAX):
        transactions = [
            payments.Transaction(
                amount=Decimal("1840.00"),
                currency="EUR",
                creditor=party,
                creditor_iban=IBAN,
                creditor_bic=BIC,
                end_to_end_id=str(number),
                instruction_id=str(number),
                remittance_information=PURPOSE,
            )
            for number in range(first, min(first + PAINFREE_MAX, count))
        ]
        order = payments.PaymentInstruction(
            debtor=party, debtor_iban=IBAN, requested_execution_date=DAY, transactions=transactions
        )
        document = builder.build(order, message_id=f"M{first}", created_at=dt.datetime(2015, 6, 10, tzinfo=dt.UTC))
        builder.validate_document(document)
    return time.perf_counter() - began


PEERS: dict[str, Callable[[int], float]] = {
    peer.__name__: peer for peer in (sepaxml, pain001, painfree) if find_spec(peer.__name__) is not None
}
