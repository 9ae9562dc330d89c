"""A house that talks to a front-end machine over real HTTP: batches in parts, lost answers, a crash between two parts, repeats, returns."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.core.verdicts import Verdict
from gateway.sandbox.config import Answers, Faults
from gateway.sandbox.orders import Order
from tests.flow.conftest import MakeHouse
from tests.flow.desk import Desk, Line, desk, repay_name, talking, until
from tests.flow.house import OWN, House, orders

ADAPTER = "cmb_frontend"
OPTIONS: dict[str, str | int | bool] = {
    "bbknbr": "69",
    "busmod": "00001",
    "per_message": 2,
    "first_ask_s": 0,
    "ask_every_s": 1,
    "pause_s": 0,
}


def talk(make_house: MakeHouse, at: Desk) -> tuple[House, Line]:
    """A house whose bank takes two payments a message."""
    return talking(make_house, ADAPTER, at, **OPTIONS)


def all_paid(house: House) -> bool:
    """Every payment of the house."""
    return set(house.states()) == {"paid"}


def sound_books(at: Desk, paid: int) -> bool:
    """So many payments stand in the bank's books, none twice."""
    books = at.books()
    return (books["paid"]["count"], books["doubles"]) == (paid, 0)


async def test_a_run_with_failures_and_a_second_payment(make_house: MakeHouse, tmp_path: Path) -> None:
    """Three parts under one number; two fail for their own reasons; the name is corrected and paid the second time."""
    lines = orders(5)
    stories = {
        lines[1].account: {"verdict": "NAME_MISMATCH", "accepts": ["张三丰"]},
        lines[2].account: {"verdict": "ACCOUNT_UNKNOWN"},
    }
    async with desk(ADAPTER, tmp_path, stories, options={"page": "2", "busmod": "00001", "bbknbr": "69"}) as at:
        house, line = talk(make_house, at)
        await house.paying(5)
        await until(house, lambda: house.states() == ["paid", "failed", "failed", "paid", "paid"])
        assert [post.once[-2:] for post in line.finals()] == ["/1", "/2", "/3"]
        results = [item for event in await house.told("payment.results") for item in event.results]
        failed = {item.instruction_id: (item.verdict, item.code) for item in results if item.outcome == "failed"}
        assert failed == {"I00002": (Verdict.NAME_MISMATCH, "CMB1003"), "I00003": (Verdict.ACCOUNT_UNKNOWN, "CSAB051")}
        await repay_name(house, "I00002", "张三丰")
        await until(house, lambda: house.states()[-1] == "paid")
        assert sound_books(at, 4)
        assert not house.parked()
        await house.sound()


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_a_lost_answer(make_house: MakeHouse, tmp_path: Path, lost: int) -> None:
    """Whichever part's answer is lost: in doubt, asked about, and no part leaves twice."""
    async with desk(ADAPTER, tmp_path, faults=Faults(http_lost_replies=(lost,))) as at:
        house, line = talk(make_house, at)
        await house.paying(5)
        await house.step()
        assert house.documents() == [("in_doubt", 1)]
        await until(house, lambda: all_paid(house))
        assert [post.once[-2:] for post in line.finals()] == ["/1", "/2", "/3"]
        assert sound_books(at, 5)
        await house.sound()


async def test_a_crash_between_two_parts(make_house: MakeHouse, tmp_path: Path) -> None:
    """The process dies before the second part; the next one asks what the bank holds, and goes on under the same number."""
    async with desk(ADAPTER, tmp_path) as at:
        house, line = talk(make_house, at)
        await house.paying(5)
        line.cut = lambda post: post.once.endswith("/2")
        with pytest.raises(asyncio.CancelledError):
            await house.step()
        line.cut = lambda _: False
        assert house.rows("SELECT state, cursor FROM document") == [("sending", "0000000001/1")]
        house.restarted(OWN)
        await house.step()
        assert house.documents() == [("in_doubt", 1)]
        await until(house, lambda: all_paid(house))
        assert [post.once[-2:] for post in line.finals()] == ["/1", "/2", "/3"]
        assert sound_books(at, 5)
        await house.sound()


async def test_nothing_left(make_house: MakeHouse, tmp_path: Path) -> None:
    """Nobody is logged in at the front-end: nothing is in doubt, and it leaves later; an answer that says nothing is a doubt."""
    async with desk(ADAPTER, tmp_path, faults=Faults(http_errors=(2,))) as at:
        house, _ = talk(make_house, at)
        (at.folder / "logged_out").touch()
        await house.paying(2)
        await house.step()
        assert house.documents() == [("sealed", 0)]
        (at.folder / "logged_out").unlink()
        house.clock.advance(300)
        await house.step()
        assert house.documents() == [("in_doubt", 1)]
        await until(house, lambda: all_paid(house))
        assert sound_books(at, 2)


async def test_a_repeated_reference_is_in_doubt(make_house: MakeHouse, tmp_path: Path) -> None:
    """The bank holds another batch under our reference: nothing is refused, nothing paid, people are called."""
    async with desk(ADAPTER, tmp_path) as at:
        house, line = talk(make_house, at)
        await house.paying(2)
        order = Order(
            reference="BANKB2015061000001", batch="x", created="2015-06-10T08:00:00", pay_date="2015-06-10", customer="C440600001",
            debit_account=at.bank.config.debit_accounts[0], count=1, minor=1,
        )  # fmt: skip
        assert at.bank.hear(order, [("7", "990001", "王五", 1)]) is None
        await house.step(times=3)
        assert house.documents() == [("in_doubt", 1)]
        assert len(line.finals()) == 1
        assert not {"failed", "refused"} & set(house.states())


async def test_the_whole_is_refused(make_house: MakeHouse, tmp_path: Path) -> None:
    """Not approved by the bureau's own approver: nothing was begun, and every payment is held for people."""
    async with desk(ADAPTER, tmp_path, faults=Faults(file_refusal="NOT_ALLOWED")) as at:
        house, _ = talk(make_house, at)
        await house.paying(2)
        await until(house, lambda: house.documents() == [("refused", 1)])
        assert not {"paid", "unknown", "failed"} & set(house.states())
        assert sound_books(at, 0)


async def test_money_that_comes_back(make_house: MakeHouse, tmp_path: Path) -> None:
    """A return that names our key and the amount: paid, then returned."""
    stories: dict[str, Any] = {orders(1)[0].account: {"verdict": "PAID", "returns": "NAME_MISMATCH"}}
    async with desk(ADAPTER, tmp_path, stories, answers=Answers(return_delay_s=0.3)) as at:
        house, _ = talk(make_house, at)
        await house.paying(2)
        await until(house, lambda: house.states() == ["paid", "paid"])
        await asyncio.sleep(0.4)
        await until(house, lambda: house.states() == ["returned", "paid"])
        assert not house.parked()
        await house.sound()


async def test_a_bank_that_lies(make_house: MakeHouse, tmp_path: Path) -> None:
    """Another amount, an unknown code, a foreign reference: parked, nothing applied; what is right is applied."""
    faults = Faults(wrong_amount=1, unknown_code=1, foreign_reference=1)
    async with desk(ADAPTER, tmp_path, faults=faults) as at:
        house, _ = talk(make_house, at)
        await house.paying(4)
        await until(house, lambda: house.states()[-1] == "paid")
        assert sorted(house.parked()) == ["CONFLICT", "UNKNOWN_CODE", "UNKNOWN_REF"]
        assert house.states() == ["batched", "batched", "batched", "paid"]
