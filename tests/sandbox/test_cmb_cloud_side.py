"""The sandbox's CDC cloud alone: what it refuses, and that its list of payees is kept. The bureau is played with the gateway's keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.keys import load_keys, load_pins, load_secrets
from gateway.edge.crypto.pins import Pins
from gateway.edge.crypto.pki import DevPki, make, sm2_name, sm4_name
from gateway.edge.crypto.seals import EngineCrypto
from gateway.edge.crypto.software import SoftwareEngine
from gateway.edge.work import InlineWork
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.books import summary
from gateway.sandbox.cmb_cloud_side import BEIJING, CmbCloud
from gateway.sandbox.config import HttpWire, Keys, SandboxBank
from gateway.sandbox.conversation import Asked

BANK, USER = "BANKA", "N000000001"
ID = f"{USER}000000"
ACCOUNT = "9900000000000018"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """Keys of both."""
    return make(tmp_path_factory.mktemp("keys"), [BANK], datetime.now(UTC) - timedelta(days=1), sm2_banks=[BANK])


class Bureau:
    """Asks; every part of the envelope can be made wrong."""

    def __init__(self, pki: DevPki, folder: Path) -> None:
        own = pki.folder / sm2_name(BANK)
        config = SandboxBank(
            code=BANK,
            adapter="cmb_cloud",
            customer="C1",
            wire=HttpWire(),
            keys=Keys(
                sign_key=f"{own}.key", certificate=f"{own}.crt", bureau=(str(pki.folder / "bureau-sm2-sign.crt"),)
            ),
            state=str(folder / "state"),
            debit_accounts=(ACCOUNT,),
            options={"userid": USER, "secret": str(pki.folder / sm4_name(BANK)), "clock": "real"},
        )
        self.state = folder / "state"
        self.bank = CmbCloud(config, Counterpart(config, None, now="2015-06-10T09:00:00"))
        credentials = Credentials(pki.folder, {})
        keys = load_keys(pki.bureau.keys, credentials, pki.folder)
        pins = Pins(load_pins(pki.bureau.pins, keys, pki.folder))
        secrets = load_secrets(pki.bureau.secrets, credentials)
        self.crypto = EngineCrypto(SoftwareEngine(keys, InlineWork()), pins, SystemClock(), InlineWork(), secrets)

    async def ask(
        self,
        funcode: str,
        body: dict[str, Any],
        *,
        signed_as: str = ID,
        hours: float = 0,
        spoil: Change | None = None,
        **form: str,
    ) -> dict[str, Any] | str:
        """The reply's response, or the words of a plain error."""
        now = datetime.now(BEIJING) + timedelta(hours=hours)
        message: dict[str, Any] = {
            "request": {"body": body, "head": {"funcode": funcode, "reqid": f"{now:%Y%m%d%H%M%S}0001", "userid": USER}},
            "signature": {"sigdat": "__signature_sigdat__", "sigtim": f"{now:%Y%m%d%H%M%S}"},
        }
        signature = await self.crypto.sign("bureau-sm2-sign", "sm2-sm3-raw", ordered(message), signed_as)
        message["signature"]["sigdat"] = base64.b64encode(signature).decode()
        if spoil:
            spoil(message)
        text = ordered(message) if "pretty" not in form else json.dumps(message, indent=1).encode()
        form.pop("pretty", None)
        hidden = await self.crypto.encrypt(sm4_name(BANK), "sm4-cbc", text, ID.encode())
        given = {"UID": USER, "FUNCODE": funcode, "ALG": "SM", "DATA": base64.b64encode(hidden).decode()} | form
        said = self.bank.reply(Asked("/", {}, urlencode(given).encode()))
        if said.status != 200:
            return said.body.decode()
        opened = await self.crypto.decrypt(sm4_name(BANK), "sm4-cbc", base64.b64decode(said.body), ID.encode())
        response: dict[str, Any] = json.loads(opened)["response"]
        return response

    def booked(self) -> int:
        """How many payments stand in the books."""
        return int(summary(self.state)["paid"]["count"])


def ordered(message: dict[str, Any]) -> bytes:
    """As it is signed."""
    return json.dumps(message, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.fixture
def bureau(pki: DevPki, tmp_path: Path) -> Bureau:
    """A bank with empty books."""
    return Bureau(pki, tmp_path)


def part(
    first: int = 1, count: int = 2, *, begin: bool = True, end: bool = True, total: int = 2, **more: str
) -> dict[str, Any]:
    """One part of an agency payment of a yuan each."""
    lines = [
        {
            "trxseq": f"{n:08d}",
            "accnbr": f"99{n}",
            "accnam": "张三",
            "trsamt": "1.00",
            "cprref": str(n),
            "trsdsp": str(n),
            "bnkflg": "Y",
        }
        for n in range(first, first + count)
    ]
    told = {
        "begtag": "Y" if begin else "N", "endtag": "Y" if end else "N", "reqnbr": "", "accnbr": ACCOUNT, "ttlamt": f"{total}.00",
        "ttlcnt": str(total), "curamt": f"{count}.00", "curcnt": str(count), "eptdat": "20150610", "yurref": "R1",
    }  # fmt: skip
    return {"bb6busmod": [{}], "bb6cdcbhx1": [told | more], "bb6cdcdlx1": lines}


async def test_a_good_order(bureau: Bureau) -> None:
    """Taken and booked."""
    said = await bureau.ask("BB6BTHHL", part())
    assert isinstance(said, dict)
    assert (said["head"]["resultcode"], said["body"]["bb6cdcbhz1"][0]["reqsta"]) == ("SUC0000", "BNK")
    assert bureau.booked() == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"signed_as": "1234567812345678"},
        {"hours": 1.1},
        {"hours": -1.1},
        {"pretty": "1"},
        {"UID": "N000000002"},
        {"FUNCODE": "BB1QRYBD"},
        {"ALG": "RSA"},
        {"DATA": "bm8="},
        {"spoil": lambda message: message["request"]["body"]["bb6cdcdlx1"][0].update(trsamt="9.00")},
        {"spoil": lambda message: message["signature"].update(sigdat="")},
        {"spoil": lambda message: message["request"]["head"].update(userid="N000000002")},
    ],
)
async def test_a_wrong_envelope_is_told_in_plain_text(bureau: Bureau, wrong: dict[str, Any]) -> None:
    """Another signer id, more than an hour off, out of order, another user or function, changed after signing: nothing is booked."""
    said = await bureau.ask("BB6BTHHL", part(), **wrong)
    assert isinstance(said, str)
    assert said.startswith("CDCServer:")
    assert bureau.booked() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": 3},
        {"ttlamt": "3.00"},
        {"curamt": "1.00"},
        {"curcnt": "1"},
        {"reqnbr": "BB60000001"},
        {"begin": False, "reqnbr": "BB60000001"},
        {"accnbr": "123"},
        {"count": 1_001, "total": 1_001},
    ],
)
async def test_a_wrong_order_is_refused(bureau: Bureau, wrong: dict[str, Any]) -> None:
    """Sums, tags, numbers, the account to debit, more than a thousand."""
    said = await bureau.ask("BB6BTHHL", part(**wrong))
    assert isinstance(said, dict)
    assert said["head"]["resultcode"] == "FABZ002"
    assert bureau.booked() == 0


async def test_parts_belong_together(bureau: Bureau) -> None:
    """Another number, a line that is there already, a batch that begins twice; the right second part books it all."""
    first = await bureau.ask("BB6BTHHL", part(end=False, total=4))
    assert isinstance(first, dict)
    number = first["body"]["bb6cdcbhz1"][0]["reqnbr"]
    for wrong in (
        part(3, begin=False, total=4, reqnbr="BB69999999"),
        part(2, begin=False, total=4, reqnbr=number),
        part(3, end=False, total=4),
    ):
        said = await bureau.ask("BB6BTHHL", wrong)
        assert isinstance(said, dict)
        assert said["head"]["resultcode"] == "FABZ002"
    listed = await bureau.ask("BB6BPDQY", {"bb6bpdqyy1": [{"buscod": "N03020", "yurref": "R1"}]})
    assert isinstance(listed, dict)
    assert listed["body"]["bb6bpdqyz1"][0]["reqsta"] == "OPR"
    assert [row["stscod"] for row in listed["body"]["bb6bpdqyz2"]] == ["A", "A"]
    await bureau.ask("BB6BTHHL", part(3, begin=False, total=4, reqnbr=number))
    assert bureau.booked() == 4
    again = await bureau.ask("BB6BTHHL", part())
    assert isinstance(again, dict)
    assert again["head"]["resultcode"] == "FABZ002"
    assert bureau.booked() == 4


async def test_the_list_of_payees_is_kept(bureau: Bureau) -> None:
    """Added under a number of the bank's own, amended and removed by it, refused without it."""

    def entry(action: str, name: str = "张三", number: str = "") -> dict[str, Any]:
        place = {"crtBnk": "某银行", "crtPvc": "广东省", "crtCty": "佛山市"}
        return {
            "BAKOPRRVLX1": [
                {"crtAcc": "9917", "crtNam": name, "crtSqn": number, "oprTyp": action, "rsv30z": "WL1", **place}
            ]
        }

    async def listed() -> list[tuple[str, str, str]]:
        said = await bureau.ask("BAKQRYRVL", {"BAKQRYRVLY": [{}]})
        assert isinstance(said, dict)
        return [(one["yCrtSqn"], one["yCrtAcc"].strip(), one["yCrtNam"]) for one in said["body"]["BAKRVLIN2Y"]]

    await bureau.ask("BAKOPRRVL", entry("A"))
    ((number, account, name),) = await listed()
    assert (account, name) == ("9917", "张三")
    refused = await bureau.ask("BAKOPRRVL", entry("D"))
    assert isinstance(refused, dict)
    assert refused["head"]["resultcode"] == "FABZ002"
    await bureau.ask("BAKOPRRVL", entry("M", "张叁", number))
    assert await listed() == [(number, "9917", "张叁")]
    await bureau.ask("BAKOPRRVL", entry("D", "张叁", number))
    assert await listed() == []
