"""What we write to the CDC cloud: business bodies, one part of at most 1,000 payments on each line, lines ended by LF.

A line is ``{"body":{…},"funcode":"…"}`` in the bank's own order (keys by ASCII, no blanks), so that the route only sets it between the head and
the signature of a fresh envelope. Nothing in it ever changes but one empty slot, ``"reqnbr":""``, which gets the number that the bank gave to
the first part; and ``"crtSqn":""`` of an allow-list entry, which gets the number that the bank's own list has for the account.

Sources: BB1PAYBH, BAKOPRRVL and the rules on values: the bank's document centre (2026-09-03), as mirrored by WXK2905821189/FINFLOW; BB6BTHHL:
fields and remarks as in ahKevinXy/go-cmb (models, 2023-06-05) and the bank's own demo program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.codec.text import UTF_8, name_fault, spoken, unencodable
from gateway.core.adapter import format_options
from gateway.core.bank import Bank, Limits, ListHead, PairLine, PayLine, PaymentHead, SealSlot
from gateway.core.errors import Code, Halt, Refused
from gateway.core.money import CNY, decimal

CHARSET = UTF_8
#: How many payments or entries one request may hold.
PER_PART = 1_000
NAME_BYTES_MAX, ACCOUNT_CHARS_MAX, NOTE_BYTES_MAX = 62, 35, 42
_KEY_CHARS_MAX = 18
#: 20 parts go out well within the hour for which one time of signing is taken.
LIMITS = Limits(
    rows_max=20_000,
    name_bytes_max=NAME_BYTES_MAX,
    account_chars_max=ACCOUNT_CHARS_MAX,
    purpose_bytes_max=NOTE_BYTES_MAX - 1 - _KEY_CHARS_MAX,
    document_bytes_max=16 * 1024 * 1024,
)
REQNBR_SLOT = b'"reqnbr":""'
CRTSQN_SLOT = b'"crtSqn":""'
AGENCY, BATCH, ALLOW = "BB6BTHHL", "BB1PAYBH", "BAKOPRRVL"
RENMINBI = "10"
NONE = "N/A"  # what the bank wants where there is no contract and no invoice
_CHUNK_LINES = 250
#: The bank forbids the first two and whatever is invisible; the others are written in two ways by JSON libraries, and the text is signed.
_FORBIDDEN = re.compile(
    "[\\\\|\"'<>&=\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\ufffe\uffff\ud800-\udfff]"
)
_USES = {
    "pension": "养老金",
    "unemployment": "失业保险金",
    "work_injury": "工伤保险待遇",
    "medical": "医疗保险待遇",
    "maternity": "生育保险待遇",
}
_USE = "社会保险待遇"
_ACTIONS = {"add": "A", "amend": "M", "remove": "D"}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``format_options`` of a Bank, called as the bank calls its fields; all text."""

    userid: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,10}(?!\n)$", examples=["N000000001"])]
    secret: Annotated[str, Meta(min_length=1, examples=["bank-a-sm4"])]  # name of the SM4 key that we share
    busmod: Annotated[str, Meta(pattern=r"^[0-9A-Z]{5}(?!\n)$", examples=["00001"])]  # our business mode
    function: Literal["agency", "batch"] = "agency"  # BB6BTHHL or BB1PAYBH
    buscod: Literal["N03010", "N03020"] = "N03020"  # agency: wages, or other
    trstyp: Annotated[str, Meta(pattern=r"^[A-Z0-9]{0,4}(?!\n)$")] = "BYBK"
    cnvnbr: Annotated[str, Meta(pattern=r"^[A-Z0-9]{0,6}(?!\n)$")] = ""
    bbknbr: Annotated[str, Meta(pattern=r"^([0-9]{2})?(?!\n)$")] = ""
    chlflg: Literal["Y", "N", "M"] = "N"
    crtbnk: str = ""  # of allow-list entries: the payees' bank, province and city
    crtpvc: str = ""
    crtcty: str = ""
    first_ask_s: Annotated[str, Meta(pattern=r"^[0-9]{1,5}(?!\n)$")] = "300"  # the bank: five minutes after sending
    ask_every_s: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,4}(?!\n)$")] = "300"
    pause_s: Annotated[str, Meta(pattern=r"^[0-9]{1,3}(?!\n)$")] = "2"  # the bank: between two questions

    def __post_init__(self) -> None:
        if not (self.trstyp or self.cnvnbr):
            raise ValueError("trstyp and cnvnbr cannot both be empty")


def options(bank: Bank) -> Options:
    """What the Bank's configuration says. Raises Refused SCHEMA."""
    return format_options(bank, Options)


# ---------------------------------------------------------------------------------------------------------------- payments


def write_payment(head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """The parts of one payment Document as a stream; one part is held at a time, because its sums stand before its payments.

    Raises Refused (SIZE, CHARSET, NAME, RANGE, POLICY) for what a request cannot hold, Halt where the lines are not what the head declares.
    """
    if head.currency != CNY:
        raise Refused(f"this format pays {CNY} only", code=Code.POLICY, where="currency")
    if not 0 < head.count <= LIMITS.rows_max:
        raise Refused(f"{head.count} lines, must be 1..{LIMITS.rows_max}", code=Code.RANGE, where=head.reference)
    told = options(bank)
    writer = _Agency(head, told) if told.function == "agency" else _Batch(head, told)
    count = minor = part_minor = 0
    part: list[str] = []
    for line in lines:
        count += 1
        if line.line != count:
            raise Halt(f"line {line.line} of {head.reference} stands at {count}")
        part.append(writer.detail(line))
        part_minor += line.amount
        if len(part) == PER_PART and count < head.count:
            yield from _part(writer, part, part_minor, nth=count // PER_PART, last=False)
            minor, part, part_minor = minor + part_minor, [], 0
    minor += part_minor
    if (count, minor) != (head.count, head.minor):
        raise Halt(f"{head.reference} declares {head.count} payments of {head.minor} fen, got {count} of {minor}")
    yield from _part(writer, part, part_minor, nth=-(-count // PER_PART), last=True)


class _Agency:
    """BB6BTHHL: the bank pays on our behalf, parts held together by the number that it gives to the first."""

    funcode = AGENCY

    def __init__(self, head: PaymentHead, told: Options) -> None:
        self._head, self._told = head, told
        self._account = _value(head.debit_account, ACCOUNT_CHARS_MAX, "debit account", head.reference)
        self._name = _value(head.debit_name, NAME_BYTES_MAX, "debit name", head.reference)

    def opening(self, count: int, minor: int, *, first: bool, last: bool, nth: int) -> str:
        del nth
        head, told = self._head, self._told
        fields = {
            "accnam": self._name, "accnbr": self._account, "bbknbr": told.bbknbr, "begtag": "Y" if first else "N", "ccynbr": RENMINBI,
            "chlflg": told.chlflg, "cnvnbr": told.cnvnbr, "curamt": decimal(minor), "curcnt": str(count), "endtag": "Y" if last else "N",
            "eptdat": f"{head.pay_date:%Y%m%d}", "nusage": _USES.get(head.benefit, _USE), "reqnbr": "", "trstyp": told.trstyp,
            "ttlamt": decimal(head.minor), "ttlcnt": str(head.count), "ttlnum": str(-(-head.count // PER_PART)), "yurref": head.reference,
        }  # fmt: skip
        summary = ",".join(f'"{name}":"{value}"' for name, value in fields.items() if value or name == "reqnbr")
        mode = f'[{{"buscod":"{told.buscod}","busmod":"{told.busmod}"}}]'
        return f'{{"bb6busmod":{mode},"bb6cdcbhx1":[{{{summary}}}],"bb6cdcdlx1":['

    def detail(self, line: PayLine) -> str:
        number, key, name, account, amount = line[:5]
        _check(line)
        note = f"{line.purpose} {key}" if line.purpose else str(key)
        return (
            f'{{"accnam":"{name}","accnbr":"{account}","bnkflg":"Y","cprref":"{key}",'
            f'"trsamt":"{amount // 100}.{amount % 100:02d}","trsdsp":"{note}","trxseq":"{number:08d}"}}'
        )


class _Batch:
    """BB1PAYBH: payments of our own, each with a reference that stays the same for every try of it."""

    funcode = BATCH

    def __init__(self, head: PaymentHead, told: Options) -> None:
        self._head, self._told = head, told
        account = _value(head.debit_account, ACCOUNT_CHARS_MAX, "debit account", head.reference)
        self._middle = (
            f'"ctrNbr":"{NONE}","dbtAcc":"{account}","eptDat":"{head.pay_date:%Y%m%d}","invNbr":"{NONE}","nusAge":"'
        )
        self._use = _USES.get(head.benefit, _USE)

    def opening(self, count: int, minor: int, *, first: bool, last: bool, nth: int) -> str:
        del count, minor, nth
        many = self._head.count > PER_PART
        state = f'"ctnSts":"{"1" if first else "3" if last else "2"}",' if many else ""
        summary = (
            f'"bthNbr":"{self._head.reference}","busCod":"N02030","busMod":"{self._told.busmod}","ctnFlg":"{"Y" if many else "N"}",'
            f'{state}"dtlNbr":"{self._head.count}"'
        )
        return f'{{"bb1bmdbhx1":[{{{summary}}}],"bb1paybhx1":['

    def detail(self, line: PayLine) -> str:
        _, key, name, account, amount = line[:5]
        _check(line)
        return (
            f'{{"bnkFlg":"Y","ccyNbr":"{RENMINBI}","crtAcc":"{account}","crtNam":"{name}","crtSqn":"{key}",{self._middle}'
            f'{line.purpose or self._use}","rcvChk":"1","trsAmt":"{amount // 100}.{amount % 100:02d}",'
            f'"yurRef":"{line.payment or key}"}}'
        )


def _part(writer: _Agency | _Batch, details: list[str], minor: int, *, nth: int, last: bool) -> Iterator[bytes]:
    """One line of the payload in chunks; the last byte of the last is the LF."""
    yield f'{{"body":{writer.opening(len(details), minor, first=nth == 1, last=last, nth=nth)}'.encode()
    for start in range(0, len(details), _CHUNK_LINES):
        chunk = ",".join(details[start : start + _CHUNK_LINES])
        yield f",{chunk}".encode() if start else chunk.encode()
    yield f']}},"funcode":"{writer.funcode}"}}\n'.encode()


# -------------------------------------------------------------------------------------------------------------- allow-list


def write_pairs(head: ListHead, lines: Iterable[PairLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """BAKOPRRVL: entries of the bank's list of payees. The name is the bank's spelling where we know it, for it is the one that is paid.

    Raises Refused as ``write_payment``, and POLICY where the options do not say the payees' bank, province and city.
    """
    told = options(bank)
    if not 0 < head.count <= PER_PART:
        raise Refused(f"{head.count} entries, must be 1..{PER_PART}", code=Code.RANGE, where=head.reference)
    if not (told.crtbnk and told.crtpvc and told.crtcty):
        raise Refused("an entry needs crtbnk, crtpvc and crtcty", code=Code.POLICY, where="format_options")
    place = {name: _value(getattr(told, name), most, name, head.reference) for name, most in _PLACE.items()}
    entries = [_entry(line, place) for line in lines]
    if len(entries) != head.count:
        raise Halt(f"{head.reference} declares {head.count} entries, got {len(entries)}")
    yield f'{{"body":{{"BAKOPRRVLX1":[{",".join(entries)}]}},"funcode":"{ALLOW}"}}\n'.encode()


_PLACE = {"crtbnk": 200, "crtpvc": 20, "crtcty": 20}


def _entry(line: PairLine, place: dict[str, str]) -> str:
    where = f"line {line.line}"
    if line.action not in _ACTIONS:
        raise Refused(f"no action is called {line.action!r}", code=Code.POLICY, where=where)
    name = line.bank_name or line.name
    return (
        f'{{"crtAcc":"{_value(line.account, ACCOUNT_CHARS_MAX, "account", where)}","crtBnk":"{place["crtbnk"]}","crtCty":"{place["crtcty"]}",'
        f'"crtNam":"{_value(name, 200, "name", where)}","crtPvc":"{place["crtpvc"]}","crtSqn":"","oprTyp":"{_ACTIONS[line.action]}",'
        f'"rsv30z":"{_value(line.number, 30, "number", where)}"}}'
    )


# ------------------------------------------------------------------------------------------------------------------ values


def encodable(text: str) -> str:
    """The first character that no value may hold, or ""."""
    found = _FORBIDDEN.search(text)
    return found[0] if found else unencodable(text, CHARSET)


def _check(line: PayLine) -> None:
    """The values of one payment fit. Raises Refused."""
    number, _, name, account, amount, _, _, purpose, _ = line[:9]
    text = f"{name}{account}{purpose}"
    if (
        amount > 0
        and name
        and account
        and len(name) * 3 <= NAME_BYTES_MAX
        and len(account) <= ACCOUNT_CHARS_MAX
        and len(purpose) * 3 <= LIMITS.purpose_bytes_max
        and text.isalnum()
        and not name.isascii()
    ):
        return  # nearly every line: short, and letters and digits only
    where = f"line {number}"
    if amount <= 0:
        raise Refused(f"an amount of {amount} fen", code=Code.RANGE, where=where)
    if fault := name_fault(name) if not encodable(name) else "":
        raise Refused(f"the name {fault}", code=Code.NAME, where=where)
    _value(name, NAME_BYTES_MAX, "name", where)
    _value(account, ACCOUNT_CHARS_MAX, "account", where)
    if purpose:
        _value(purpose, LIMITS.purpose_bytes_max, "purpose", where)


def _value(text: str, most: int, field: str, where: str) -> str:
    """The text as it may stand between quotes; ``most`` counts bytes. Raises Refused CHARSET, SIZE; the sentence does not repeat it."""
    if lacking := encodable(text):
        raise Refused(f"the {field} holds {spoken(lacking)}, which no value may", code=Code.CHARSET, where=where)
    size = len(text.encode(CHARSET))
    if not 0 < size <= most:
        raise Refused(f"the {field} has {size} bytes, must be 1..{most}", code=Code.SIZE, where=where)
    return text
