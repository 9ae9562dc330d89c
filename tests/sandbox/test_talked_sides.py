"""The banks behind a front-end machine and a client program: what they refuse, each by its own code and without booking anything."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest

from adapters.cmb_frontend import ADAPTER as FRONT
from adapters.cmb_frontend import layout as front
from adapters.icbc import ADAPTER as CLIENT
from adapters.icbc import layout as client
from adapters.icbc import reading
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.books import summary
from gateway.sandbox.cmb_frontend_side import FrontEnd
from gateway.sandbox.config import HttpWire, SandboxBank
from gateway.sandbox.conversation import Asked
from gateway.sandbox.icbc_side import Card, Client
from tests.adapters.suite import NOW, bank_of, head_of, line_of, written

CUSTOMER = "440600001"
BOOKED = "<REQSTA>BNK</REQSTA>"


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Callable[..., Counterpart]]:
    """A bank with these options."""
    made: list[Counterpart] = []

    def make(adapter: str, **options: str) -> Counterpart:
        config = SandboxBank(
            code="BANKA", adapter=adapter, customer=CUSTOMER, wire=HttpWire(), keys=None, state=str(tmp_path / "state"), options=options
        )  # fmt: skip
        made.append(Counterpart(config, None, now="2015-06-10T09:00:00"))
        return made[-1]

    yield make
    for one in made:
        one.close()


# ------------------------------------------------------------------------------------------------------------- the front-end machine


def parts(count: int = 5, per: int = 2) -> list[str]:
    """A batch in parts, as text."""
    lines = [line_of(number) for number in range(1, count + 1)]
    at = bank_of(FRONT)
    at = msgspec.structs.replace(at, format_options={**at.format_options, "per_message": per})
    chunks = front.write_payment(head_of(lines), lines, at)
    return b"".join(chunk for chunk in chunks if isinstance(chunk, bytes)).decode("gbk").split("\n")


def say(side: FrontEnd, text: str) -> str:
    """One message, and the answer as text."""
    return side.reply(Asked("/", {}, text.encode("gbk"))).body.decode("gbk")


def numbered(part: str, number: str = "0000000001") -> str:
    """The part with the bank's number."""
    return part.replace("<REQNBR></REQNBR>", f"<REQNBR>{number}</REQNBR>")


def test_parts_are_booked_with_the_last(bank: Callable[..., Counterpart], tmp_path: Path) -> None:
    """One number through all of them; nothing is booked before the last."""
    side = FrontEnd((at := bank("cmb_frontend")).config, at)
    first, second, third = parts()
    assert "<REQNBR>0000000001</REQNBR><REQSTA>OPR</REQSTA>" in say(side, first)
    assert "OPR" in say(side, numbered(second))
    assert summary(tmp_path / "state")["paid"]["count"] == 0
    assert BOOKED in say(side, numbered(third))
    assert summary(tmp_path / "state")["paid"]["count"] == 5
    assert "NCB4241" in say(side, first)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text.replace("<CURCNT>2<", "<CURCNT>3<"), "-3"),
        (lambda text: text.replace("<CURAMT>3680.00<", "<CURAMT>3680.01<"), "-3"),
        (lambda text: text.replace("<TRXSEQ>00000002<", "<TRXSEQ>00000003<"), "-3"),
        (lambda text: text.replace("<TRSAMT>1840.00<", "<TRSAMT>1,840.00<", 1), "-3"),
        (lambda text: text.replace("张三", "张" * 32, 1), "-3"),
        (lambda text: text.replace("<BNKFLG>Y<", "<BNKFLG>N<", 1), "-3"),
        (lambda text: text.replace('encoding="GBK"', 'encoding="UTF-8"'), "-3"),
        (lambda text: text[:-5], "-3"),
        (lambda text: text.replace("440600001</LGNNAM>", "440600002</LGNNAM>"), "-4"),
        (lambda text: text.replace("<BUSMOD>00001<", "<BUSMOD>00002<"), "-2"),
        (lambda text: text.replace("<BBKNBR>69<", "<BBKNBR>70<"), "-2"),
        (numbered, "-3"),
        (lambda text: numbered(text.replace("<BEGTAG>Y<", "<BEGTAG>N<")), "-2"),
        (lambda text: text.replace("NTAGCAPY", "NTAGCXXX"), "-3"),
    ],
)
def test_what_the_front_end_refuses(
    bank: Callable[..., Counterpart], tmp_path: Path, change: Callable[[str], str], code: str
) -> None:
    """Each fault by its RETCOD, and the part as it should be is taken afterwards."""
    side = FrontEnd((at := bank("cmb_frontend", busmod="00001", bbknbr="69")).config, at)
    first = parts()[0]
    assert change(first) != first
    assert f"<RETCOD>{code}</RETCOD>" in say(side, change(first))
    assert "<RETCOD>0</RETCOD>" in say(side, first)
    assert summary(tmp_path / "state")["paid"]["count"] == 0


# ------------------------------------------------------------------------------------------------------------- the client program

LINES = [line_of(number) for number in (1, 2)]
PACKAGE = client.dated(written(CLIENT, LINES), NOW)


def posted(side: Client, sign: bytes, **changed: str) -> bytes:
    """The package behind the answer to a form, or what else came."""
    reference, stamp = head_of(LINES).reference, "20150610090000000"
    place = {"userID": "example.y.4400", "PackageID": reference, "SendTime": stamp}
    form = {
        "Version": "0.0.1.0", "TransCode": "PAYPER", "BankCode": "102", "GroupCIS": CUSTOMER, "ID": "example.y.4400",
        "PackageID": reference, "Cert": "", "reqData": sign.decode(), **changed,
    }  # fmt: skip
    path = f"/servlet/ICBCCMPAPIReqServlet?{urlencode(place)}"
    body = side.reply(Asked(path, {}, urlencode(form).encode())).body
    return reading.unwrapped(body) if body.startswith(b"reqData=") else body


def sign(side: Client, package: bytes) -> bytes:
    """At the sign port."""
    return reading.signed(side.reply(Asked("/", {"content-type": "INFOSEC_SIGN/1.0"}, package)).body)


@pytest.mark.parametrize("packed", [False, True])
def test_a_signed_package_is_booked_once(bank: Callable[..., Counterpart], tmp_path: Path, packed: bool) -> None:
    """Packed or not; the second time its number is repeated."""
    side = Client((at := bank("icbc")).config, at)
    package = client.zipped(PACKAGE) if packed else PACKAGE
    words = [reading.word(posted(side, sign(side, package), **({"zipFlag": "1"} if packed else {}))) for _ in range(2)]
    assert [word.code for word in words] == ["0", "B0012"]
    assert summary(tmp_path / "state")["paid"]["count"] == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda sign: base64.b64encode(Card().sign(PACKAGE)),
        lambda sign: base64.b64encode(base64.b64decode(sign).replace(b"<PayAmt>184000<", b"<PayAmt>284000<", 1)),
        lambda sign: base64.b64encode(PACKAGE),
        lambda sign: sign[:100],
    ],
)
def test_only_what_its_own_card_signed_is_sent(
    bank: Callable[..., Counterpart], tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """Another card, a changed amount, no signature, half a signature: the client program's own error, and nothing is booked."""
    side = Client((at := bank("icbc")).config, at)
    assert posted(side, change(sign(side, PACKAGE))).startswith(b"errorCode=")
    assert summary(tmp_path / "state")["documents"] == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"<TotalNum>2<", b"<TotalNum>3<", "B0004"),
        (b"<TotalAmt>368000<", b"<TotalAmt>368001<", "B0004"),
        (b"<SignTime>20150610090000000<", b"<SignTime><", "B0003"),
        (b"<PayAmt>184000<", b"<PayAmt>1840.00<", "B0007"),
        (b"<iSeqno>2<", b"<iSeqno>1<", "B0006"),
        (b"<CurrType>001<", b"<CurrType>014<", "B0006"),
        (b"<PayAccNo>9900100000000000123<", b"<PayAccNo>9900100000000000124<", "B0005"),
    ],
)
def test_what_the_bank_refuses(
    bank: Callable[..., Counterpart], tmp_path: Path, old: bytes, new: bytes, code: str
) -> None:
    """Signed, but wrong: RetCode, and nothing is booked."""
    side = Client((at := bank("icbc")).config, at)
    assert reading.word(posted(side, sign(side, PACKAGE.replace(old, new, 1)))).code == code
    assert summary(tmp_path / "state")["paid"]["count"] == 0


@pytest.mark.parametrize(
    "changed",
    [{"GroupCIS": "1"}, {"ID": "other"}, {"PackageID": "R2"}, {"TransCode": "PAYENT"}, {"Version": "0.0.0.1"}],
)
def test_form_and_package_agree(bank: Callable[..., Counterpart], tmp_path: Path, changed: dict[str, str]) -> None:
    """Address, form and package name the same."""
    side = Client((at := bank("icbc")).config, at)
    assert posted(side, sign(side, PACKAGE), **changed).startswith(b"errorCode=")
    assert summary(tmp_path / "state")["documents"] == []
