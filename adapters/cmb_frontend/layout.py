"""What we write to the bank's front-end machine: agency payments in parts, and the questions of the route.

A payment Document is one message for each 3,000 payments, each message on a line of its own, lines separated by LF::

    <?xml version="1.0" encoding="GBK"?><CMBSDKPGK>
      INFO        FUNNAM NTAGCAPY, DATTYP 2, LGNNAM
      NTBUSMODY   BUSMOD
      NTAGCAGCX1  BEGTAG ENDTAG REQNBR TTLAMT TTLCNT TTLNUM CURAMT CURCNT CCYNBR BBKNBR ACCNBR CCYMKT TRSTYP NUSAGE YURREF
      NTAGCDTLY1  TRXSEQ ACCNBR ACCNAM TRSAMT TRSDSP BNKFLG CPRACT CPRREF, one for each payment

Nothing of it changes but REQNBR, which the bank gives with its answer to the first part and which the route writes into the others. Z(n) counts
bytes of GBK.

Source: the bank's interface document 5.37.0 (4.7 NTAGCAPY, 4.9 NTAGDINF, 4.10 NTAGCINY, 4.12 NTAGDRFD, appendix A.45), as quoted by
sinri/CMBFirmBankSDK @2f3d208c (MIT).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.standards.gbk_xml import CHARSET, DECLARATION, element, fitted, use_of
from gateway.codec.text import xml_text
from gateway.core.adapter import format_options
from gateway.core.bank import Bank, Limits, PayLine, PaymentHead, SealSlot
from gateway.core.errors import Code, Halt, Refused
from gateway.core.money import CNY, decimal

NAME_BYTES_MAX, ACCOUNT_CHARS_MAX, TEXT_BYTES_MAX = 62, 35, 42
#: How many payments a message holds at most.
PER_MESSAGE = 3_000
#: TTLNUM has three digits, and a batch has at most what six digits count (TRSNUM of the batch's state).
LIMITS = Limits(
    rows_max=30_000,
    name_bytes_max=NAME_BYTES_MAX,
    account_chars_max=ACCOUNT_CHARS_MAX,
    purpose_bytes_max=TEXT_BYTES_MAX,
    document_bytes_max=32 * 1024 * 1024,
)
#: Where the bank's number of the batch goes, in every part but the first.
SLOT = b"<REQNBR></REQNBR>"
RENMINBI = "10"

_CHUNK_LINES = 512


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``format_options`` of a Bank, called as the bank calls its fields."""

    bbknbr: Annotated[str, Meta(pattern=r"^[0-9]{2}(?!\n)$", examples=["69"])]  # branch of the debit accounts
    busmod: Annotated[str, Meta(pattern=r"^[0-9A-Z]{5}(?!\n)$", examples=["00001"])]  # business mode of the login
    trstyp: Annotated[str, Meta(pattern=r"^BY(?!SA)[A-Z]{2}(?!\n)$")] = "BYBK"
    cnvnbr: Annotated[str, Meta(pattern=r"^([0-9A-Z]{6})?(?!\n)$")] = ""
    grtflg: Annotated[str, Meta(pattern=r"^[YN]?(?!\n)$")] = ""  # Y: a person approves each batch in the e-bank
    per_message: Annotated[int, Meta(ge=1, le=PER_MESSAGE)] = PER_MESSAGE  # fewer, where the bank agrees on fewer
    first_ask_s: Annotated[int, Meta(ge=0)] = 300  # how long after sending the first question waits
    ask_every_s: Annotated[int, Meta(ge=1)] = 300
    pause_s: Annotated[int, Meta(ge=0)] = 2  # between two questions


def options(bank: Bank) -> Options:
    """What the Bank's configuration says. Raises Refused SCHEMA."""
    return format_options(bank, Options)


# ---------------------------------------------------------------------------------------------------------------- payments


def write_payment(head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """The parts of one payment Document as a stream; one part is held at a time, because its sums stand before its payments.

    Raises Refused (SIZE, CHARSET, NAME, RANGE, SCHEMA) for what the message cannot hold, Halt where the lines are not what the head declares.
    """
    if head.currency != CNY:
        raise Refused(f"this format pays {CNY} only", code=Code.POLICY, where="currency")
    if not 0 < head.count <= LIMITS.rows_max:
        raise Refused(f"{head.count} lines, must be 1..{LIMITS.rows_max}", code=Code.RANGE, where=head.reference)
    told = options(bank)
    batch = _Batch(head, bank, told)
    count = minor = 0
    part: list[str] = []
    part_minor = 0
    for line in lines:
        count += 1
        if line.line != count:
            raise Halt(f"line {line.line} of {head.reference} stands at {count}")
        part.append(_detail(line))
        part_minor += line.amount
        if len(part) == told.per_message and count < head.count:
            yield from batch.part(part, part_minor, first=count == told.per_message, last=False)
            minor, part, part_minor = minor + part_minor, [], 0
    if (count, minor + part_minor) != (head.count, head.minor):
        what = (
            f"{head.reference} declares {head.count} payments of {head.minor} fen, got {count} of {minor + part_minor}"
        )
        raise Halt(what)
    yield from batch.part(part, part_minor, first=count <= told.per_message, last=True)


class _Batch:
    """What all parts of a batch share."""

    def __init__(self, head: PaymentHead, bank: Bank, told: Options) -> None:
        parts = -(-head.count // told.per_message)
        self._before = f"{DECLARATION}<CMBSDKPGK>{_info('NTAGCAPY', bank)}<NTBUSMODY><BUSMOD>{told.busmod}</BUSMOD></NTBUSMODY><NTAGCAGCX1>"
        self._totals = f"{SLOT.decode()}<TTLAMT>{decimal(head.minor)}</TTLAMT><TTLCNT>{head.count}</TTLCNT><TTLNUM>{parts}</TTLNUM>"
        self._after = (
            f"{element('CNVNBR', told.cnvnbr)}<CCYNBR>{RENMINBI}</CCYNBR><BBKNBR>{told.bbknbr}</BBKNBR>"
            f"<ACCNBR>{fitted(head.debit_account, ACCOUNT_CHARS_MAX, 'debit account', head.reference)}</ACCNBR>"
            f"<CCYMKT>0</CCYMKT><TRSTYP>{told.trstyp}</TRSTYP><NUSAGE>{use_of(head.benefit)}</NUSAGE>"
            f"<YURREF>{head.reference}</YURREF>{element('GRTFLG', told.grtflg)}</NTAGCAGCX1>"
        )

    def part(self, details: list[str], minor: int, *, first: bool, last: bool) -> Iterator[bytes]:
        """One message in chunks; a line's end before every one but the first."""
        tags = f"<BEGTAG>{'Y' if first else 'N'}</BEGTAG><ENDTAG>{'Y' if last else 'N'}</ENDTAG>"
        current = f"<CURAMT>{decimal(minor)}</CURAMT><CURCNT>{len(details)}</CURCNT>"
        opening = f"{self._before}{tags}{self._totals}{current}{self._after}"
        yield opening.encode(CHARSET) if first else b"\n" + opening.encode(CHARSET)
        for start in range(0, len(details), _CHUNK_LINES):
            yield "".join(details[start : start + _CHUNK_LINES]).encode(CHARSET)
        yield b"</CMBSDKPGK>"


def _detail(line: PayLine) -> str:
    number, key, name, account, amount = line[:5]
    if amount <= 0:
        raise Refused(f"an amount of {amount} fen", code=Code.RANGE, where=f"line {number}")
    if not name or not account:
        raise Refused("has no name or no account", code=Code.NAME, where=f"line {number}")
    note = f"<TRSDSP>{fitted(line.purpose, TEXT_BYTES_MAX, 'purpose', number)}</TRSDSP>" if line.purpose else ""
    return (
        f"<NTAGCDTLY1><TRXSEQ>{number:08d}</TRXSEQ><ACCNBR>{fitted(account, ACCOUNT_CHARS_MAX, 'account', number)}</ACCNBR>"
        f"<ACCNAM>{fitted(name, NAME_BYTES_MAX, 'name', number)}</ACCNAM>"
        f"<TRSAMT>{amount // 100}.{amount % 100:02d}</TRSAMT>{note}<BNKFLG>Y</BNKFLG>"
        f"<CPRACT>{key}</CPRACT><CPRREF>{key}</CPRREF></NTAGCDTLY1>"
    )


# ---------------------------------------------------------------------------------------------------------------- questions


def ask_batch(bank: Bank, reference: str, begin: date, end: date) -> bytes:
    """NTAGCINY: what became of the batch with this reference of ours, entered from ``begin`` to ``end`` (a week at most)."""
    body = (
        f"<NTAGCINYX1><BUSCOD>N03020</BUSCOD><YURREF>{reference}</YURREF><BGNDAT>{begin:%Y%m%d}</BGNDAT>"
        f"<ENDDAT>{end:%Y%m%d}</ENDDAT></NTAGCINYX1>"
    )
    return _message("NTAGCINY", bank, body)


def ask_details(bank: Bank, number: str, place: tuple[str, str, str] = ("", "", "")) -> bytes:
    """NTAGDINF: the payments of a batch, from ``place`` on: (BTHNBR, TRXSEQ, HISTAG) of the page before."""
    more = "".join(element(tag, text) for tag, text in zip(("BTHNBR", "TRXSEQ", "HISTAG"), place, strict=True))
    return _message("NTAGDINF", bank, f"<NTAGDINFY1><REQNBR>{xml_text(number)}</REQNBR>{more}</NTAGDINFY1>")


def ask_returns(bank: Bank, account: str, begin: date, end: date) -> bytes:
    """NTAGDRFD: payments that came back to one debit account from ``begin`` to ``end``."""
    told = options(bank)
    body = (
        f"<NTAGDRFDY1><BBKNBR>{told.bbknbr}</BBKNBR><ACCNBR>{xml_text(account)}</ACCNBR><TRSTYP>{told.trstyp}</TRSTYP>"
        f"<BGNDAT>{begin:%Y%m%d}</BGNDAT><ENDDAT>{end:%Y%m%d}</ENDDAT></NTAGDRFDY1>"
    )
    return _message("NTAGDRFD", bank, body)


def _message(function: str, bank: Bank, body: str) -> bytes:
    return f"{DECLARATION}<CMBSDKPGK>{_info(function, bank)}{body}</CMBSDKPGK>".encode(CHARSET)


def _info(function: str, bank: Bank) -> str:
    return f"<INFO><FUNNAM>{function}</FUNNAM><DATTYP>2</DATTYP><LGNNAM>{xml_text(bank.customer)}</LGNNAM></INFO>"
