"""A house that talks to a client program over real HTTP: signed and sent, packed or not, lost answers, repeats, a second payment."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.core.verdicts import Verdict
from gateway.sandbox.config import Faults
from gateway.sandbox.orders import Order
from tests.flow.conftest import MakeHouse
from tests.flow.desk import Desk, Line, desk, repay_name, talking, until
from tests.flow.house import House, orders

ADAPTER = "icbc"


def talk(make_house: MakeHouse, at: Desk, **more: bool) -> tuple[House, Line]:
    """A house whose bank signs and sends at one port."""
    port = urlsplit(at.url).port or 0
    return talking(
        make_house, ADAPTER, at, id="example.y.4400", sign_port=port, first_ask_s=0, ask_every_s=1, pause_s=0, **more
    )


def sound_books(at: Desk, paid: int) -> bool:
    """So many payments stand in the bank's books, none twice."""
    books = at.books()
    return (books["paid"]["count"], books["doubles"]) == (paid, 0)


@pytest.mark.parametrize("packed", [False, True])
async def test_a_run_with_failures_and_a_second_payment(make_house: MakeHouse, tmp_path: Path, packed: bool) -> None:
    """Paid and failed as the bank tells them, the reason in its words; the name is corrected and paid the second time."""
    lines = orders(4)
    stories = {lines[1].account: {"verdict": "NAME_MISMATCH", "accepts": ["张三丰"]}}
    async with desk(ADAPTER, tmp_path, stories, options={"id": "example.y.4400"}) as at:
        house, line = talk(make_house, at, zip=packed)
        await house.paying(4)
        await until(house, lambda: house.states() == ["paid", "failed", "paid", "paid"])
        assert len(line.finals()) == 1
        results = [item for event in await house.told("payment.results") for item in event.results]
        (failed,) = [item for item in results if item.outcome == "failed"]
        assert (failed.instruction_id, failed.verdict, failed.text) == ("I00002", Verdict.NO_REASON, "账号户名不符")
        await repay_name(house, "I00002", "张三丰")
        await until(house, lambda: house.states()[-1] == "paid")
        assert sound_books(at, 4)
        assert not house.parked()
        await house.sound()


async def test_a_lost_answer(make_house: MakeHouse, tmp_path: Path) -> None:
    """In doubt, asked about under its number, and sent once."""
    async with desk(ADAPTER, tmp_path, faults=Faults(http_lost_replies=(1,))) as at:
        house, line = talk(make_house, at)
        await house.paying(3)
        await house.step()
        assert house.documents() == [("in_doubt", 1)]
        await until(house, lambda: set(house.states()) == {"paid"})
        assert len(line.finals()) == 1
        assert sound_books(at, 3)
        await house.sound()


async def test_a_package_that_never_arrived(make_house: MakeHouse, tmp_path: Path) -> None:
    """The bank's word that it has nothing, after the agreed time: the same package again, dated anew."""
    async with desk(ADAPTER, tmp_path, faults=Faults(http_errors=(1,))) as at:
        house, line = talk(make_house, at)
        await house.paying(3)
        await house.step()
        assert house.documents() == [("in_doubt", 1)]
        await until(house, lambda: set(house.states()) == {"paid"})
        assert [post.once for post in line.finals()] == ["BANKB2015061000001"] * 2
        assert sound_books(at, 3)


async def test_no_card_in_the_client_program(make_house: MakeHouse, tmp_path: Path) -> None:
    """Not signed: nothing has left, and it leaves once the card is back."""
    async with desk(ADAPTER, tmp_path) as at:
        house, line = talk(make_house, at)
        (at.folder / "no_card").touch()
        await house.paying(2)
        await house.step()
        assert house.documents() == [("sealed", 0)]
        assert not line.finals()
        (at.folder / "no_card").unlink()
        await until(house, lambda: set(house.states()) == {"paid"})
        assert sound_books(at, 2)


async def test_a_repeated_number_is_in_doubt(make_house: MakeHouse, tmp_path: Path) -> None:
    """B0012: the bank holds another package under our number; nothing is refused or failed."""
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
        assert house.inbound() == [("parked", "TOTALS")]
        assert len(line.finals()) == 1
        assert not {"failed", "refused", "paid"} & set(house.states())


async def test_a_code_that_no_table_has(make_house: MakeHouse, tmp_path: Path) -> None:
    """Parked with the bank's words; the others are applied."""
    async with desk(ADAPTER, tmp_path, faults=Faults(unknown_code=1, wrong_amount=1)) as at:
        house, _ = talk(make_house, at)
        await house.paying(3)
        await until(house, lambda: house.states()[-1] == "paid")
        assert sorted(house.parked()) == ["CONFLICT", "UNKNOWN_CODE"]
