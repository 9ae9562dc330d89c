"""The files of the floor: payment files by a template of its own, result files made beforehand and read by iterparse.

Nothing here is the gateway's: a slower writer or reader there must not lift the floor. The fields are those of the
sandbox banks' ISO 20022 files, so that sizes are alike.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lxml import etree

from gateway.core.contracts import RunSubmitted

PAIN_001 = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
PAIN_002 = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
#: One line in so many is told as failed: the reference month's 238 of 369,370.
FAILS_ONE_IN = 1_552

KEPT_ROWS = 256

_ROW = f"{{{PAIN_002}}}TxInfAndSts"
_TEXTS = etree.XPath("descendant::text()", smart_strings=False)  # the quickest of five ways tried


class PayRow(NamedTuple):
    """One line of a payment file."""

    key: int
    name: str
    account: str
    amount: int
    id_number: str


class Told(NamedTuple):
    """The bank's word on one line."""

    key: int
    status: str
    code: str
    amount: int
    bank_ref: str


async def pain001(pages: AsyncIterator[list[PayRow]], header: RunSubmitted, bank: str) -> AsyncIterator[bytes]:
    """A payment file in parts, one for each page."""
    yield (
        f'<Document xmlns="{PAIN_001}"><CstmrCdtTrfInitn><GrpHdr><MsgId>{bank}</MsgId></GrpHdr><PmtInf>'
        f"<PmtInfId>{bank}</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt><Dt>{header.pay_date}</Dt></ReqdExctnDt>"
        f"<DbtrAcct><Id><Othr><Id>{header.debit_account}</Id></Othr></Id></DbtrAcct>"
    ).encode()
    async for page in pages:
        yield "".join(
            [
                f"<CdtTrfTxInf><PmtId><InstrId>{key}</InstrId><EndToEndId>{key}</EndToEndId></PmtId>"
                f'<Amt><InstdAmt Ccy="CNY">{amount // 100}.{amount % 100:02d}</InstdAmt></Amt><Cdtr><Nm>{_escaped(name)}</Nm>'
                f"<Id><PrvtId><Othr><Id>{id_number}</Id></Othr></PrvtId></Id></Cdtr>"
                f"<CdtrAcct><Id><Othr><Id>{account}</Id></Othr></Id></CdtrAcct></CdtTrfTxInf>"
                for key, name, account, amount, id_number in page
            ]
        ).encode()
    yield b"</PmtInf></CstmrCdtTrfInitn></Document>"


def write_results(lines: Iterable[tuple[int, str, int]], folder: Path) -> dict[str, Path]:
    """One result file per bank for lines of (key, bank code, fen); where each is."""
    found: dict[str, Path] = {}
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for key, bank, amount in lines:
            file = files.get(bank)
            if file is None:
                found[bank] = folder / f"{bank}.xml"
                file = files[bank] = stack.enter_context(found[bank].open("wb"))
                file.write(f'<Document xmlns="{PAIN_002}"><CstmrPmtStsRpt><OrgnlPmtInfAndSts>'.encode())
            file.write(_result(key, amount).encode())
        for file in files.values():
            file.write(b"</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>")
    return found


def _result(key: int, amount: int) -> str:
    failed = key % FAILS_ONE_IN == 0
    word = "<TxSts>RJCT</TxSts><StsRsnInf><Rsn><Cd>AC06</Cd></Rsn><AddtlInf>挂失</AddtlInf></StsRsnInf>"
    return (
        f"<TxInfAndSts><OrgnlEndToEndId>{key}</OrgnlEndToEndId>{word if failed else '<TxSts>ACCC</TxSts>'}"
        f'<AcctSvcrRef>{key}</AcctSvcrRef><OrgnlTxRef><Amt><InstdAmt Ccy="CNY">{amount // 100}.{amount % 100:02d}</InstdAmt>'
        "</Amt></OrgnlTxRef></TxInfAndSts>"
    )


def results_of(path: Path) -> Iterator[Told]:
    """Every line of a result file that `write_results` made, in bounded memory."""
    with path.open("rb") as file:
        rows = etree.iterparse(
            file, events=("end",), tag=_ROW, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        )
        done = []
        for _, row in rows:
            texts = _TEXTS(row)  # key, status, (code, words,) bank's reference, amount
            key, status, *why, bank_ref, amount = texts
            yield Told(int(key), status, why[0] if why else "", int(amount.replace(".", "")), bank_ref)
            done.append(row)
            if len(done) == KEPT_ROWS:
                for element in done[:-1]:
                    element.getparent().remove(element)  # type: ignore[union-attr]  # it stands below the block
                done = [row]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
