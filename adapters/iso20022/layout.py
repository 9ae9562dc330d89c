"""Documents of this format: payments and questions about names out, six messages in.

Out: ``BusinessMessage`` with AppHdr (head.001.001.02, our signature in ``Sgntr``) and Document (pain.001.001.09; acmt.023.001.02 or .04), in
canonical bytes; for a bank without seals (test profile) the bare Document.
In: pain.002, camt.054, camt.053, acmt.024, and our own pain.001 and acmt.023 for ``inspect``; in the same wrapper or bare, told apart by the
message's element.

Sources: pain001.py, pain002.py, camt054.py, acmt.py, head001.py in adapters/standards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, BinaryIO, Literal

import msgspec

from adapters.standards import acmt, camt054, head001, pain001, pain002
from adapters.standards.message import open_message
from gateway.codec.text import UTF_8, xml_illegal
from gateway.core.adapter import format_options
from gateway.core.bank import Bank, CheckLine, Enveloped, Item, Limits, ListHead, PayLine, PaymentHead, SealSlot

CHARSET = UTF_8
SEAL = Enveloped(location=head001.SIGNATURE_PATH)
#: An enveloped signature costs the reader a tree of the whole file, hence the row limit; account and texts as the XSD.
LIMITS = Limits(
    rows_max=10_000,
    payment_minor_max=1_000_000_000,
    document_minor_max=10_000_000_000_000,
    name_bytes_max=pain001.TEXT_CHARS_MAX,
    account_chars_max=pain001.ACCOUNT_CHARS_MAX,
    purpose_bytes_max=pain001.TEXT_CHARS_MAX,
    document_bytes_max=16 * 1024 * 1024,
)
_READERS = {
    "CstmrPmtStsRpt": (pain002.SHAPE, pain002.read),
    "BkToCstmrDbtCdtNtfctn": (camt054.NOTIFICATION, camt054.read_notification),
    "BkToCstmrStmt": (camt054.STATEMENT, camt054.read_statement),
    "CstmrCdtTrfInitn": (pain001.SHAPE, pain001.read),
    "IdVrfctnReq": (acmt.REQUEST, acmt.read_request),
    "IdVrfctnRpt": (acmt.REPORT, acmt.read_report),
}
_SHAPES = {kind: shape for kind, (shape, _) in _READERS.items()}
_BEGINNING = re.compile(
    rb"<(?:[A-Za-z_][\w.-]*:)?(?:%b)[\s>]|iso:20022:tech:xsd|%b"
    % ("|".join(_READERS).encode(), re.escape(head001.WRAPPER_NAMESPACE.encode()))
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a Bank of this format may say under ``format_options``."""

    #: Which message asks it about names. The two differ in where the account stands.
    name_check: Annotated[
        Literal["acmt.023.001.02", "acmt.023.001.04"],
        msgspec.Meta(extra_json_schema={"examples": ["acmt.023.001.02"]}),
    ] = "acmt.023.001.04"


def write_payment(head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """The payment file in canonical bytes. Raises Refused for a line that does not fit, Halt for other totals than declared."""
    document = pain001.write(head, lines, bank)
    if not bank.sealed:
        return document
    return head001.wrapped(document, bank, reference=head.reference, message=pain001.MESSAGE, created=head.created)


def write_check(head: ListHead, lines: Iterable[CheckLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """Questions about names in canonical bytes, all in one message. Raises Refused for a line that does not fit, Halt for another count."""
    message = format_options(bank, Options).name_check
    document = acmt.write(head, lines, bank, message)
    if not bank.sealed:
        return document
    return head001.wrapped(document, bank, reference=head.reference, message=message, created=head.created)


def read(source: BinaryIO) -> Iterator[Item]:
    """Whatever of the six messages ``source`` holds. Raises Malformed; only its end proves that it was whole."""
    message, elements = open_message(source, _SHAPES)
    _, reader = _READERS[message.kind]
    yield from reader(message, elements)


def sniff(beginning: bytes) -> bool:
    """Whether these first bytes (a few thousand are enough) look like a message that is read here."""
    return _BEGINNING.search(beginning) is not None


def encodable(text: str) -> str:
    """The first character that XML in UTF-8 cannot hold, or ""."""
    return xml_illegal(text)
