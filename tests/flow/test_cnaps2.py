"""A house whose bank speaks CNAPS: 382 out, 990, 900, 911, 383 in, over a real folder, SFTP and RabbitMQ; the sandbox bank is another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import pytest

from gateway.core.bank import Agreement, DuplicateAnswer, WireKind
from gateway.core.errors import Code
from gateway.core.partner import Partner
from gateway.core.topology import topology
from gateway.core.verdicts import Verdict
from gateway.edge.bus_amqp import AmqpBus
from gateway.edge.bus_topology import declare
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.pki import DevPki, client_name, host_name, make, sm2_name
from gateway.edge.wires import open_wire
from gateway.sandbox import runner
from gateway.sandbox.config import Answers, Faults
from gateway.sandbox.month import DEBIT_ACCOUNT
from tests.flow.conftest import MakeHouse
from tests.flow.desk import repay_name
from tests.flow.house import ISO, OWN, PAYER, House, orders
from tests.flow.house import bank as bank_of

CUSTOMER = "C440600001"
OPTIONS = {
    "sender": "313584000012",
    "receiver": "990588000001",
    "checked": "CE01",
    "reply_days": "1",
    "category": "C209",
    "purpose": "9001",
}
AGREEMENT = Agreement(
    duplicate_key="reference", duplicate_answer=DuplicateAnswer.ERROR, credited=("PR02", "PR05"), not_found_window_minutes=60
)  # fmt: skip


class Place(NamedTuple):
    """What runs."""

    house: House
    banks: runner.Running
    files: Path  # the bank's folders

    def books(self) -> dict[str, Any]:
        """Totals of the bank's books."""
        return self.banks.books(OWN)

    async def until(self, what: Callable[[], bool]) -> None:
        """Let the lane work, a minute a round, until it is so."""
        for _ in range(600):
            if what():
                return
            await self.house.step()
            self.house.clock.advance(20)
            await asyncio.sleep(0.02)
        house = self.house
        raise AssertionError((house.states(), house.documents(), house.inbound(), house.parked(), self.books()))


@pytest.fixture(scope="module", name="keys")
def keys_with_sm2(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """As the session's, with SM2 pairs for us and for the bank."""
    since = datetime(2015, 1, 1, tzinfo=UTC)
    return make(tmp_path_factory.mktemp("keys"), [ISO, OWN], since, sm2_banks=[OWN])


@contextmanager
def place(
    make_house: MakeHouse, keys: DevPki, folder: Path, accounts: dict[str, Any] | None = None, *, wire: WireKind = WireKind.FOLDER,
    options: dict[str, str] | None = None, url: str = "", bus: AmqpBus | None = None, **settings: Any
) -> Iterator[Place]:  # fmt: skip
    """The bank's process, and a house with a real wire to it; ``accounts``: who is not simply paid; ``url``, ``bus``: of the broker."""
    scenario, files = folder / "scenario.json", folder / "files"
    scenario.write_bytes(msgspec.json.encode({"accounts": accounts or {}}))
    theirs: runner.FolderWire | runner.SftpWire | runner.AmqpWire = runner.FolderWire(directory=str(files))
    if wire is WireKind.AMQP:
        theirs = runner.AmqpWire(url=url)
    if wire is WireKind.SFTP:
        host, client = keys.folder / f"{host_name(OWN)}.key", keys.folder / f"{client_name(OWN)}.pub"
        theirs = runner.SftpWire(directory=str(files), host_key=str(host), client_keys=str(client))
    own = keys.folder / sm2_name(OWN)
    bank = runner.SandboxBank(
        code=OWN, adapter="cnaps2", customer=CUSTOMER, wire=theirs, state=str(folder / "state"), debit_accounts=(DEBIT_ACCOUNT,),
        keys=runner.Keys(sign_key=f"{own}.key", certificate=f"{own}.crt", bureau=(str(keys.folder / "bureau-sm2-sign.crt"),)),
        scenario=str(scenario), options=options or {}, **settings,
    )  # fmt: skip
    with runner.banks(runner.Sandbox(banks=(bank,)), folder / "banks") as running:
        wire_options: dict[str, str | int] = {"root": str(files), "complete": "rename"} if not url else {}
        if wire is WireKind.SFTP:
            line = (keys.folder / f"{host_name(OWN)}.pub").read_text().split()
            wire_options = {
                "host": "127.0.0.1", "port": int(running.ready[OWN]["port"]), "user": CUSTOMER, "host_key": " ".join(line[:2]),
                "client_key": f"{client_name(OWN)}.key", "complete": "rename",
            }  # fmt: skip
        ours = bank_of(
            OWN, adapter="cnaps2", wire=wire, pins=(sm2_name(OWN),), sign_key="bureau-sm2-sign", agreement=AGREEMENT,
            format_options=OPTIONS, wire_options=wire_options,
        )  # fmt: skip
        house = make_house(ours)
        house.wires[OWN] = open_wire(ours, house.archive, Credentials(keys.folder, {}), bus=bus, clock=house.clock)  # type: ignore[assignment]  # a wire
        yield Place(house, running, files)


@pytest.mark.parametrize("wire", [WireKind.FOLDER, WireKind.SFTP])
async def test_a_run_with_failures_and_a_second_payment(
    make_house: MakeHouse, keys: DevPki, tmp_path: Path, wire: WireKind
) -> None:
    """Signed, arrived (990), told (383): RJ02 and a lost card in words; the name is corrected and paid the second time; the books agree."""
    lines = orders(6)
    stories = {
        lines[1].account: {"verdict": "NAME_MISMATCH", "accepts": ["张三丰"]},
        lines[2].account: {"verdict": "CARD_LOST"},
        lines[4].account: {"verdict": "NO_REASON"},
    }
    with place(make_house, keys, tmp_path, stories, wire=wire) as at:
        await at.house.paying(6)
        await at.until(lambda: at.house.states() == ["paid", "failed", "failed", "paid", "failed", "paid"])
        results = [item for event in await at.house.told("payment.results") for item in event.results]
        failed = {item.instruction_id: item.verdict for item in results if item.outcome == "failed"}
        assert failed == {"I00002": Verdict.NAME_MISMATCH, "I00003": Verdict.CARD_LOST, "I00005": Verdict.NO_REASON}
        assert [state for state, _ in at.house.inbound()] == ["applied", "applied"]
        await repay_name(at.house, "I00002", "张三丰")
        await at.until(lambda: at.house.states()[-1] == "paid")
        books = at.books()
        assert (books["paid"]["count"], books["doubles"]) == (4, 0)
        paid = {payment.reference: payment.minor for payment in at.banks.payments(OWN) if payment.times == 1}
        ledger = at.house.rows("SELECT key, amount FROM attempt WHERE state = 'paid'")
        assert paid == {str(key): amount for key, amount in ledger}
        assert not at.house.parked()
        await at.house.sound()


@pytest.mark.servers
async def test_over_a_broker(make_house: MakeHouse, keys: DevPki, tmp_path: Path, amqp_url: str) -> None:
    """The same messages through the bank's two queues on a real RabbitMQ."""
    await declare(amqp_url, topology([PAYER], [OWN]))
    bus = await AmqpBus.open(amqp_url)
    lines = orders(3)
    stories = {lines[1].account: {"verdict": "CARD_REPLACING"}}
    try:
        with place(make_house, keys, tmp_path, stories, wire=WireKind.AMQP, url=amqp_url, bus=bus) as at:
            await at.house.paying(3)
            await at.until(lambda: at.house.states() == ["paid", "failed", "paid"])
            results = [item for event in await at.house.told("payment.results") for item in event.results]
            assert [item.verdict for item in results if item.outcome == "failed"] == [Verdict.CARD_REPLACING]
            assert at.books()["doubles"] == 0
            await at.house.sound()
    finally:
        await bus.close()


async def test_what_was_sent_can_be_written_again(make_house: MakeHouse, keys: DevPki, tmp_path: Path) -> None:
    """Byte for byte, whatever the signature; a Bank that is configured otherwise shows where it differs."""
    with place(make_house, keys, tmp_path) as at:
        await at.house.paying(3)
        await at.until(lambda: bool(at.house.documents()) and at.house.documents()[0][1] == 1)
        house, partner = at.house, at.house.partners[OWN]
        (document,) = await house.ledger.documents(OWN, [house.documents()[0][0]])
        assert await house.sealer.replay(document, partner) == -1
        other = msgspec.structs.replace(partner.bank, format_options=OPTIONS | {"checked": "CE02"})
        offset = await house.sealer.replay(document, Partner(bank=other, adapter=partner.adapter))
        with house.archive.open(document.digest) as held:
            assert held.read()[offset - 3 : offset + 1] == b"CE01"


async def test_confirmed_and_told_in_parts(make_house: MakeHouse, keys: DevPki, tmp_path: Path) -> None:
    """A signed 900 as receipt, results in three 383s in reverse, each twice: every line once."""
    answers = Answers(parts=3, order="reverse", repeat=2)
    with place(make_house, keys, tmp_path, options={"receipt": "900"}, answers=answers) as at:
        await at.house.paying(5)
        await at.until(lambda: set(at.house.states()) == {"paid"})
        assert {state for state, _ in at.house.inbound()} <= {"applied", "duplicate"}
        await at.house.sound()


async def test_a_repeated_reference_is_discarded_and_in_doubt(
    make_house: MakeHouse, keys: DevPki, tmp_path: Path
) -> None:
    """The very bytes once more under another file name: 911 says repeated. In doubt, never failed; the first copy's result ends it."""
    with place(make_house, keys, tmp_path, hold_results=True) as at:
        await at.house.paying(2)
        await at.until(lambda: at.house.documents() == [("receipted", 1)])
        (sent,) = (at.files / "in" / "done").iterdir()
        (at.files / "in" / "second.txt").write_bytes(sent.read_bytes())
        await at.until(lambda: at.house.states() == ["unknown", "unknown"])
        assert at.house.documents()[0][1] == 1
        at.banks.release(OWN)
        await at.until(lambda: at.house.states() == ["paid", "paid"])
        assert at.books()["doubles"] == 0
        await at.house.sound()


async def test_discarded(make_house: MakeHouse, keys: DevPki, tmp_path: Path) -> None:
    """911 without words, of a message that the bank could not take: a doubt for people, and nothing is sent again."""
    with place(make_house, keys, tmp_path, faults=Faults(file_refusal="BANK_FAULT")) as at:
        await at.house.paying(2)
        await at.until(lambda: at.house.states() == ["unknown", "unknown"])
        for _ in range(20):
            await at.house.step()
            at.house.clock.advance(600)
        assert at.house.states() == ["unknown", "unknown"]
        assert at.house.documents()[0][1] == 1
        assert at.books()["paid"]["count"] == 0


@pytest.mark.parametrize(("verdict", "states"), [("FUNDS", {"held"}), ("NO_REASON", {"unknown"})])
async def test_the_whole_is_rejected(
    make_house: MakeHouse, keys: DevPki, tmp_path: Path, verdict: str, states: set[str]
) -> None:
    """A signed 900 with PR09: RJ03 proves that nothing was booked, RJ90 proves nothing."""
    with place(make_house, keys, tmp_path, faults=Faults(file_refusal=verdict)) as at:
        await at.house.paying(2)
        await at.until(lambda: set(at.house.states()) == states)
        assert at.house.documents()[0][1] == 1


@pytest.mark.parametrize("seal", ["none", "foreign"])
async def test_a_result_that_is_not_signed_by_the_bank(
    make_house: MakeHouse, keys: DevPki, tmp_path: Path, seal: Literal["none", "foreign"]
) -> None:
    """Quarantined, nothing applied; the correct one behind it is."""
    with place(make_house, keys, tmp_path, faults=Faults(seal=seal, then_correct=True)) as at:
        await at.house.paying(3)
        await at.until(lambda: set(at.house.states()) == {"paid"})
        assert ("quarantined", str(Code.SIG)) in at.house.inbound()
        await at.house.sound()


async def test_a_bank_that_lies(make_house: MakeHouse, keys: DevPki, tmp_path: Path) -> None:
    """Another amount, a code that no table has, a foreign reference: parked; what is right is applied."""
    faults = Faults(wrong_amount=1, unknown_code=1, foreign_reference=1)
    with place(make_house, keys, tmp_path, faults=faults) as at:
        await at.house.paying(4)
        await at.until(lambda: "paid" in at.house.states())
        assert sorted(at.house.parked()) == ["CONFLICT", "UNKNOWN_CODE", "UNKNOWN_REF"]
        assert at.house.states().count("paid") == 1
