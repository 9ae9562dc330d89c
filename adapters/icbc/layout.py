"""What we write for the bank's client program: PAYPER, which pays persons, and QPAYPER, which asks what became of it.

::

    <CMS><eb>
      pub  TransCode CIS BankCode ID TranDate TranTime fSeqno
      in   OnlBatF SettleMode TotalNum TotalAmt SignTime THBaseAccFlag RegSerialNO PackageName TotalSummary BatchSumFlag
        rd iSeqno … PayAccNo PayAccNameCN … RecAccNo RecAccNameCN … CurrType PayAmt … one for each payment

Amounts are fen. The payload never changes; TranDate, TranTime and SignTime stand empty in it and are filled at each sending. ``zipFlag`` packs the
``rd`` of what is sent into ``zip``: gzip, then base64.

Sources: PAYPER and QPAYPER 0.0.1.0 as public client programs write them: a C# simulator of the bank's interface (CMPSimulator, CreateXml), a
hospital's Java client (com.chd.base.InternetBank.icbc), which also shows how ``zip`` is packed and that questions are not signed.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.standards.gbk_xml import CHARSET, DECLARATION, fitted, use_of
from gateway.codec.text import xml_text
from gateway.core.adapter import format_options
from gateway.core.bank import Bank, Limits, PayLine, PaymentHead, SealSlot
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code, Halt, Refused
from gateway.core.money import CNY

#: Our own caution, not the bank's figures: its widths and the most payments of a package are not public.
NAME_BYTES_MAX, ACCOUNT_CHARS_MAX, ROWS_MAX = 60, 34, 1_000
#: PostScript has 60 bytes and UseCN 20 in public client code.
POSTSCRIPT_BYTES_MAX = 60
LIMITS = Limits(
    rows_max=ROWS_MAX,
    name_bytes_max=NAME_BYTES_MAX,
    account_chars_max=ACCOUNT_CHARS_MAX,
    purpose_bytes_max=POSTSCRIPT_BYTES_MAX,
    document_bytes_max=8 * 1024 * 1024,
)
PAY, ASK = "PAYPER", "QPAYPER"
BANK_CODE, RENMINBI = "102", "001"
#: Times that a sending fills.
SLOTS = (b"<TranDate></TranDate>", b"<TranTime></TranTime>", b"<SignTime></SignTime>")
_FIRST_RD, _LAST_RD = b"<rd>", b"</rd>"
_CHUNK_LINES = 256


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``format_options`` of a Bank."""

    id: Annotated[
        str, Meta(pattern=r"^[0-9A-Za-z._-]{1,40}(?!\n)$", examples=["example.y.4400"])
    ]  # of the certificate in the client program
    sign_port: Annotated[int, Meta(ge=1, le=65_535)] = (
        449  # of the client program, beside the address of its other port
    )
    zip: bool = False
    settle_mode: Annotated[str, Meta(pattern=r"^[02](?!\n)$")] = "0"  # 0 each payment posted by itself, 2 as one sum
    pay_type: Annotated[str, Meta(pattern=r"^[12](?!\n)$")] = "1"  # 1 urgent, 2 ordinary
    same_city: Annotated[str, Meta(pattern=r"^[12](?!\n)$")] = "1"  # IsSameCity: 1 same city, 2 another
    first_ask_s: Annotated[int, Meta(ge=0)] = 300  # how long after sending the first question waits
    ask_every_s: Annotated[int, Meta(ge=1)] = 300
    pause_s: Annotated[int, Meta(ge=0)] = 2  # between two questions


def options(bank: Bank) -> Options:
    """What the Bank's configuration says. Raises Refused SCHEMA."""
    return format_options(bank, Options)


# ---------------------------------------------------------------------------------------------------------------- payments


def write_payment(head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """The package as a stream.

    Raises Refused (SIZE, CHARSET, NAME, RANGE, SCHEMA) for what it cannot hold, Halt where the lines are not what the head declares.
    """
    if head.currency != CNY:
        raise Refused(f"this format pays {CNY} only", code=Code.POLICY, where="currency")
    told = options(bank)
    yield _opening(head, bank, told).encode(CHARSET)
    before, between, after = _constant(head, told)
    count = minor = 0
    chunk: list[str] = []
    for line in lines:
        number, key, name, account, amount = line[:5]
        count += 1
        if number != count:
            raise Halt(f"line {number} of {head.reference} stands at {count}")
        if amount <= 0:
            raise Refused(f"an amount of {amount} fen", code=Code.RANGE, where=f"line {number}")
        if not name or not account:
            raise Refused("has no name or no account", code=Code.NAME, where=f"line {number}")
        minor += amount
        note = fitted(line.purpose, POSTSCRIPT_BYTES_MAX, "purpose", number) if line.purpose else ""
        chunk.append(
            f"<rd><iSeqno>{number}{before}{fitted(account, ACCOUNT_CHARS_MAX, 'account', number)}</RecAccNo>"
            f"<RecAccNameCN>{fitted(name, NAME_BYTES_MAX, 'name', number)}{between}{amount}{after}{note}"
            f"</PostScript><Summary></Summary><Ref>{key}</Ref><Oref></Oref><ERPSqn>{key}</ERPSqn>{_END}"
        )
        if len(chunk) == _CHUNK_LINES:
            yield "".join(chunk).encode(CHARSET)
            chunk.clear()
    if (count, minor) != (head.count, head.minor):
        raise Halt(f"{head.reference} declares {head.count} payments of {head.minor} fen, got {count} of {minor}")
    yield ("".join(chunk) + "</in></eb></CMS>").encode(CHARSET)


_END = (
    "<BusCode></BusCode><ERPcheckno></ERPcheckno><CrvouhType></CrvouhType><CrvouhName></CrvouhName><CrvouhNo></CrvouhNo>"
    "<MCardNo></MCardNo><MCardName></MCardName></rd>"
)


def _opening(head: PaymentHead, bank: Bank, told: Options) -> str:
    return (
        f"{DECLARATION}<CMS><eb>{_pub(PAY, bank, head.reference, '', '')}<in><OnlBatF>1</OnlBatF><SettleMode>{told.settle_mode}</SettleMode>"
        f"<TotalNum>{head.count}</TotalNum><TotalAmt>{head.minor}</TotalAmt><SignTime></SignTime><THBaseAccFlag>0</THBaseAccFlag>"
        f"<RegSerialNO></RegSerialNO><PackageName></PackageName><TotalSummary>{use_of(head.benefit)}</TotalSummary><BatchSumFlag></BatchSumFlag>"
    )


def _constant(head: PaymentHead, told: Options) -> tuple[str, str, str]:
    """What every payment shares: before the account, between name and amount, after the amount."""
    payer = fitted(head.debit_name, NAME_BYTES_MAX, "debit name", head.reference)
    account = fitted(head.debit_account, ACCOUNT_CHARS_MAX, "debit account", head.reference)
    before = (
        "</iSeqno><ReimburseNo></ReimburseNo><ReimburseNum></ReimburseNum><StartDate></StartDate><StartTime></StartTime>"
        f"<PayType>{told.pay_type}</PayType><PayAccNo>{account}</PayAccNo><PayAccNameCN>{payer}</PayAccNameCN>"
        "<PayAccNameEN></PayAccNameEN><RecAccNo>"
    )
    between = (
        f"</RecAccNameCN><RecAccNameEN></RecAccNameEN><SysIOFlg>1</SysIOFlg><IsSameCity>{told.same_city}</IsSameCity>"
        "<RecICBCCode></RecICBCCode><RecCityName></RecCityName><RecBankNo></RecBankNo><RecBankName></RecBankName>"
        f"<CurrType>{RENMINBI}</CurrType><PayAmt>"
    )
    after = f"</PayAmt><UseCode></UseCode><UseCN>{use_of(head.benefit)}</UseCN><EnSummary></EnSummary><PostScript>"
    return before, between, after


# ---------------------------------------------------------------------------------------------------------------- what is sent


def dated(payload: bytes, now: datetime) -> bytes:
    """The payload with the times of this sending."""
    day, time = stamps(now)
    for slot, text in zip(SLOTS, (day, time, day + time), strict=True):
        payload = payload.replace(slot, slot.replace(b"><", b">%s<" % text.encode(), 1), 1)
    return payload


def zipped(message: bytes) -> bytes:
    """The message with its ``rd`` packed."""
    start, stop = message.index(_FIRST_RD), message.rindex(_LAST_RD) + len(_LAST_RD)
    packed = base64.b64encode(gzip.compress(message[start:stop], mtime=0))
    return b"%s<zip>%s</zip>%s" % (message[:start], packed, message[stop:])


def ask(bank: Bank, package: str, original: str, now: datetime) -> bytes:
    """QPAYPER: what became of the package ``original``; the question is the package ``package``."""
    body = f"<in><QryfSeqno>{original}</QryfSeqno><QrySerialNo></QrySerialNo></in>"
    return f"{DECLARATION}<CMS><eb>{_pub(ASK, bank, package, *stamps(now))}{body}</eb></CMS>".encode(CHARSET)


def stamps(now: datetime) -> tuple[str, str]:
    """``("20150610", "090000000")``: day, and time to the millisecond, Beijing."""
    text = now.astimezone(CHINA_TIME).strftime("%Y%m%d%H%M%S%f")
    return text[:8], text[8:17]


def _pub(code: str, bank: Bank, package: str, day: str, time: str) -> str:
    return (
        f"<pub><TransCode>{code}</TransCode><CIS>{xml_text(bank.customer)}</CIS><BankCode>{BANK_CODE}</BankCode>"
        f"<ID>{xml_text(options(bank).id)}</ID><TranDate>{day}</TranDate><TranTime>{time}</TranTime><fSeqno>{package}</fSeqno></pub>"
    )
