"""Account and id numbers stand nowhere in the clear: not in any column of any table, whatever happened to the payment."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.core.contracts import IdType, Party
from gateway.core.errors import Halt
from gateway.core.ledger import BadLine
from gateway.core.verdicts import Outcome, Verdict
from gateway.edge.atrest import AtRest
from gateway.edge.clock import ManualClock
from gateway.edge.ids import TimeIds
from gateway.edge.ledger import SqlLedger, World, open_driver, private
from gateway.edge.ledger.schema import metadata
from tests.ledger.conftest import MASTER
from tests.ledger.kit import CHECKER, MAKER, NORTH, SOUTH, START, Story, Trap, Word, pay

#: Numbers that are planted wherever a payer or a bank may name one.
PLANTED = {
    "account": "6228480402564890018",
    "alternative": "6222021602008123456",
    "corrected": "6217001210012345678",
    "id": "440605195001011234",
    "payee id": "440605196002025678",
    "bad line": "6228481111111111111",
    "early": "6228482222222222222",
    "bank": "6228483333333333333",
}


async def whole_life(story: Story) -> None:
    """A payment with everything in it: ordered, refused lines, early chunk, failed, parked, corrected, paid."""
    await story.ledger.keep_early(story.meta(), "R9", b'{"account": "%s"}' % PLANTED["early"].encode())
    instruction = pay(
        "A",
        party={"name": "王小明", "id_number": PLANTED["id"]},
        payee={"name": "王大明", "id_number": PLANTED["payee id"]},
        relation="child",
        account=PLANTED["account"],
        alternative={"bank": SOUTH, "account": PLANTED["alternative"]},
    )
    raw = b'{"id": "X", "account": "%s"}' % PLANTED["bad line"].encode()
    bad = [BadLine(2, "X", "RANGE", "amount", "too much", raw, 1)]
    document = await story.paying("R1", instruction, bad=bad, on_bad_line="reject_line")
    bank = PLANTED["bank"]
    await story.answer(
        document,
        Word("A", Outcome.FAILED, verdict=Verdict.ACCOUNT_CHANGED, account=bank),
        Word(999, Outcome.FAILED, 1, account=bank),
    )
    await story.answer(document, Word("A", Outcome.PAID, account=bank, currency="HKD"))
    for row in await story.rows("SELECT key FROM parked"):
        await story.ledger.close_parked(MAKER, row.key, "looked")
    corrected = {"bank": NORTH, "account": PLANTED["corrected"]}
    await story.repay("A", {"verifier": MAKER, "approver": CHECKER, "evidence": "form 7", "account": corrected})
    await story.release(await story.value("SELECT run_id FROM run WHERE kind = 'second_payment'"))
    (again,) = await story.dispatch()
    assert [line.account for line in await story.ledger.pay_lines(again.key, 0, 9)] == [PLANTED["corrected"]]
    await story.answer(again, Word("A", Outcome.PAID))


def found_in(value: Any) -> list[str]:
    """Which planted numbers a column's value shows."""
    plain = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    return [what for what, number in PLANTED.items() if number.encode() in plain]


async def test_no_number_stands_in_the_clear(story: Story) -> None:
    """Every column of every table is searched after a payment's whole life, and something is in every table that could tell."""
    await whole_life(story)
    filled = set()
    for table in metadata.tables.values():
        for row in await story.rows(f'SELECT * FROM "{table.name}"'):
            filled.add(table.name)
            for column, value in row._mapping.items():
                assert found_in(value) == [], f"{table.name}.{column}"
    assert {"instruction", "line_error", "early", "parked", "correction", "outbox", "act", "inbound"} <= filled


async def test_no_number_stands_in_the_file(sqlite_story: Story) -> None:
    """The database's own file and its log show none either."""
    await whole_life(sqlite_story)
    path = Path(sqlite_story.url.removeprefix("sqlite:///"))
    for file in (path, path.with_name(path.name + "-wal")):
        assert found_in(file.read_bytes()) == [], file.name
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM instruction").fetchone() == (1,)
    connection.close()


async def test_numbers_are_found_by_their_hash(story: Story) -> None:
    """Who has the key finds a person and an account without opening a row; another key finds nothing."""
    await whole_life(story)
    atrest, other = AtRest(MASTER), AtRest(bytes(32))
    person = Party(name="anybody", id_number=PLANTED["id"], id_type=IdType.RESIDENT)
    count = "SELECT COUNT(*) FROM instruction WHERE person_hash = :hash"
    assert await story.value(count, hash=private.person_hash(atrest, person)) == 1
    assert await story.value(count, hash=private.person_hash(other, person)) == 0
    count = "SELECT COUNT(*) FROM instruction WHERE account_hash = :hash"
    assert await story.value(count, hash=private.account_hash(atrest, PLANTED["account"])) == 1
    assert await story.value(count, hash=private.account_hash(atrest, PLANTED["corrected"])) == 0
    count = "SELECT COUNT(*) FROM correction WHERE account_hash = :hash"
    assert await story.value(count, hash=private.account_hash(atrest, PLANTED["corrected"])) == 1


async def test_everything_private_can_be_opened_again(story: Story) -> None:
    """Accounts, the payee's and the insured person's numbers, and the alternative account come back as they were."""
    await whole_life(story)
    (row,) = await story.rows("SELECT sealed FROM instruction")
    hidden = private.unseal(AtRest(MASTER), bytes(row.sealed))
    assert hidden == private.Private(
        PLANTED["account"], "resident", PLANTED["payee id"], "王小明", "resident", PLANTED["id"], SOUTH, PLANTED["alternative"]
    )  # fmt: skip
    (row,) = await story.rows("SELECT raw FROM line_error")
    assert PLANTED["bad line"].encode() in private.open_raw(AtRest(MASTER), bytes(row.raw))


async def test_a_value_moved_to_another_place_does_not_open(story: Story) -> None:
    """A sealed value is bound to its column: an account copied over another kind of value is a broken invariant, not a payment."""
    await whole_life(story)
    (row,) = await story.rows("SELECT sealed FROM correction WHERE sealed IS NOT NULL")
    with pytest.raises(Halt):
        private.unseal(AtRest(MASTER), bytes(row.sealed))
    (row,) = await story.rows("SELECT sealed FROM instruction")
    with pytest.raises(Halt):
        private.unseal_account(AtRest(MASTER), bytes(row.sealed))


async def test_another_key_opens_nothing(story: Story) -> None:
    """With the database and without the key there is nothing to pay to."""
    document = await story.paying("R1", pay("A"))
    clock = ManualClock(START)
    stranger = SqlLedger(open_driver(story.url, World(clock, TimeIds(clock), AtRest(bytes(32)), Trap())))
    try:
        with pytest.raises(Halt):
            await stranger.pay_lines(document.key, 0, 10)
    finally:
        await stranger.driver.close()


async def test_people_see_masked_numbers(story: Story) -> None:
    """What is shown and reported names nobody's full account or id number."""
    await whole_life(story)
    shown = await story.ledger.show("A")
    assert shown is not None
    assert shown["account"] == "****0018"
    for told in (
        shown,
        await story.ledger.report("R1"),
        await story.ledger.list_parked(),
        await story.ledger.status("R1"),
    ):
        assert found_in(repr(told)) == []


async def test_events_name_no_numbers(story: Story) -> None:
    """Payers know their own numbers: no event repeats one."""
    await whole_life(story)
    assert all(found_in(repr(event)) == [] for event in await story.told())
