"""A house that talks to a B2Bi client over real HTTP: files beside the commands, "ask again", lost replies, repeats, a second payment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.bank import Limits
from gateway.core.partner import Partner
from gateway.core.verdicts import Verdict
from gateway.sandbox.config import Faults
from gateway.sandbox.orders import Order
from tests.flow.conftest import MakeHouse
from tests.flow.desk import Desk, Line, desk, repay_name, talking, until
from tests.flow.house import OWN, House, orders

ADAPTER = "pingan"
FOLDERS = {"upload": "D:\\b2bi\\up", "download": "D:\\b2bi\\down"}


def talk(make_house: MakeHouse, at: Desk, **options: str | int | bool) -> tuple[House, Line]:
    """A house whose bank is reached through the client on the machine beside it."""
    return talking(make_house, ADAPTER, at, first_ask_s=0, ask_every_s=1, **FOLDERS, **options)


def all_paid(house: House) -> Callable[[], bool]:
    """Every payment of the house."""
    return lambda: set(house.states()) == {"paid"}


def sound_books(at: Desk, paid: int) -> bool:
    """So many payments stand in the bank's books, none twice."""
    books = at.books()
    return (books["paid"]["count"], books["doubles"]) == (paid, 0)


def commands(line: Line) -> list[str]:
    """Which were posted."""
    return [post.body[40:46].decode() for post in line.posts]


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
async def test_a_run_with_failures_and_a_second_payment(make_house: MakeHouse, tmp_path: Path, encoding: str) -> None:
    """One batch, its file seen to the bank first; two fail in their own words; the name is corrected and paid the second time."""
    lines = orders(5)
    stories = {
        lines[1].account: {"verdict": "NAME_MISMATCH", "accepts": ["张三丰"]},
        lines[2].account: {"verdict": "CARD_LOST"},
    }
    shared = str(tmp_path / "shared")
    async with desk(ADAPTER, tmp_path, stories, shared=shared, options=FOLDERS | {"slow": "2"}) as at:
        house, line = talk(make_house, at, encoding=encoding)
        await house.paying(5)
        await until(house, lambda: house.states() == ["paid", "failed", "failed", "paid", "paid"])
        assert commands(line)[:4] == ["FILE01", "FILE02", "FILE02", "FILE02"]
        assert [post.once for post in line.finals()] == ["BANKB2015061000001"]
        results = [item for event in await house.told("payment.results") for item in event.results]
        failed = {item.instruction_id: item.verdict for item in results if item.outcome == "failed"}
        assert failed == {"I00002": Verdict.NAME_MISMATCH, "I00003": Verdict.CARD_LOST}
        await repay_name(house, "I00002", "张三丰")
        await until(house, lambda: house.states()[-1] == "paid")
        assert sound_books(at, 4)
        assert not house.parked()
        await house.sound()


async def test_ask_again(make_house: MakeHouse, tmp_path: Path) -> None:
    """Booked, and answered "broken off, ask later": in doubt, nothing sent again, then the bank's word and its results."""
    async with desk(ADAPTER, tmp_path, shared=str(tmp_path / "shared"), options={"again": "1"}) as at:
        house, line = talk(make_house, at)
        await house.paying(3)
        await house.step()
        assert house.documents() == [("in_doubt", 1)]
        await until(house, all_paid(house))
        assert len(line.finals()) == 1
        assert sound_books(at, 3)
        assert not house.parked()
        await house.sound()


@pytest.mark.parametrize("faults", [Faults(http_lost_replies=(1,)), Faults(slow_s=0.2, http_lost_replies=(1,))], ids=["lost", "slow"])  # fmt: skip
async def test_a_lost_reply(make_house: MakeHouse, tmp_path: Path, faults: Faults) -> None:
    """The batch is booked and its reply never comes: asked about by its number, never sent twice."""
    async with desk(ADAPTER, tmp_path, shared=str(tmp_path / "shared"), faults=faults) as at:
        house, line = talk(make_house, at)
        await house.paying(3)
        await house.step()
        assert house.documents() == [("in_doubt", 1)]
        await until(house, all_paid(house))
        assert len(line.finals()) == 1
        assert sound_books(at, 3)
        await house.sound()


async def test_a_batch_that_the_bank_never_took(make_house: MakeHouse, tmp_path: Path) -> None:
    """A plain-text error, and the bank knows no such batch: it stays in doubt, since no public word of the bank's means "not found"."""
    async with desk(ADAPTER, tmp_path, shared=str(tmp_path / "shared"), faults=Faults(http_errors=(1,))) as at:
        house, line = talk(make_house, at)
        await house.paying(3)
        for _ in range(300):
            await house.step()
            house.clock.advance(60)
        assert house.documents() == [("in_doubt", 1)]
        assert len(line.finals()) == 1
        assert sound_books(at, 0)


async def test_a_repeated_batch_number_is_in_doubt(make_house: MakeHouse, tmp_path: Path) -> None:
    """The bank holds another batch under our number: never a failure; people are called."""
    async with desk(ADAPTER, tmp_path, shared=str(tmp_path / "shared")) as at:
        house, line = talk(make_house, at)
        await house.paying(2)
        order = Order(
            reference="BANKB2015061000001", batch="x", created="2015-06-10T08:00:00", pay_date="2015-06-10", customer="C440600001",
            debit_account=at.bank.config.debit_accounts[0], count=1, minor=1,
        )  # fmt: skip
        assert at.bank.hear(order, [("7", "990001", "王五", 1)]) is None
        await house.step()
        assert house.documents() == [("in_doubt", 1)]
        assert len(line.finals()) == 1
        assert not {"failed", "refused", "paid"} & set(house.states())


async def test_nothing_left(make_house: MakeHouse, tmp_path: Path) -> None:
    """The client does not find the file where it was told to look: nothing is in doubt, nothing was ordered, it is tried again."""
    shared = str(tmp_path / "shared")
    async with desk(ADAPTER, tmp_path, shared=shared, options={"upload": "E:\\elsewhere"}) as at:
        house, line = talk(make_house, at)
        await house.paying(2)
        await house.step()
        assert house.documents() == [("sealed", 0)]
        assert not line.finals()
        assert set(commands(line)) == {"FILE01"}


async def test_the_whole_batch_failed(make_house: MakeHouse, tmp_path: Path) -> None:
    """State 30 does not prove that nothing was booked: in doubt for people, and no line is failed by it."""
    faults = Faults(file_refusal="FUNDS")
    async with desk(ADAPTER, tmp_path, shared=str(tmp_path / "shared"), faults=faults) as at:
        house, _ = talk(make_house, at)
        await house.paying(2)
        await until(house, lambda: house.documents() == [("in_doubt", 1)])
        for _ in range(300):
            await house.step()
            house.clock.advance(60)
        assert house.documents() == [("in_doubt", 1)]
        assert house.lanes() == {OWN: "running"}
        assert {state for state, _ in house.inbound()} <= {"applied", "duplicate"}
        assert len(house.inbound()) < 30
        assert not {"failed", "refused", "paid"} & set(house.states())


async def test_a_line_that_the_bank_does_not_know_of(make_house: MakeHouse, tmp_path: Path) -> None:
    """9001 is unknown, not failed, whatever comes after it."""
    lines = orders(2)
    stories = {lines[0].account: {"verdict": "TIMEOUT"}}
    async with desk(ADAPTER, tmp_path, stories, shared=str(tmp_path / "shared")) as at:
        house, _ = talk(make_house, at)
        await house.paying(2)
        await until(house, lambda: house.states() == ["unknown", "paid"])
        await house.step(times=3)
        assert house.states() == ["unknown", "paid"]


async def test_a_bank_that_lies(make_house: MakeHouse, tmp_path: Path) -> None:
    """Another amount, a code and words that nobody knows, a foreign reference: parked; what is right is applied."""
    faults = Faults(wrong_amount=1, unknown_code=1, foreign_reference=1)
    async with desk(ADAPTER, tmp_path, shared=str(tmp_path / "shared"), faults=faults) as at:
        house, _ = talk(make_house, at)
        await house.paying(4)
        await until(house, lambda: house.states()[-1] == "paid")
        assert sorted(set(house.parked())) == ["CONFLICT", "UNKNOWN_CODE", "UNKNOWN_REF"]
        assert house.states() == ["batched", "batched", "batched", "paid"]


async def test_single_payments(make_house: MakeHouse, tmp_path: Path) -> None:
    """One command a payment, under its own number: paid, failed in its own words, and one whose reply is lost."""
    lines = orders(3)
    stories: dict[str, Any] = {lines[1].account: {"verdict": "ACCOUNT_CLOSED"}}
    faults = Faults(http_lost_replies=(3,))
    async with desk(ADAPTER, tmp_path, stories, shared=str(tmp_path / "shared"), faults=faults) as at:
        house, line = talk(make_house, at, mode="single")
        partner = house.partners[OWN]
        bank = msgspec.structs.replace(partner.bank, limits=Limits(rows_max=1, name_bytes_max=32, account_chars_max=20))
        house.partners[OWN] = Partner(bank=bank, adapter=partner.adapter)
        await house.paying(3)
        await until(house, lambda: house.states() == ["paid", "failed", "paid"])
        keys = [str(key) for (key,) in house.rows("SELECT key FROM attempt ORDER BY key")]
        assert [post.once for post in line.finals()] == keys
        assert set(commands(line)) == {"KHKF03", "KHKF04"}
        assert sound_books(at, 2)
        await house.sound()
