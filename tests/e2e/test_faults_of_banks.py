"""Banks that lose files, repeat themselves, answer in pieces, cut their results short or take them back: the ledger ends where their books do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.core.bank import Agreement, DuplicateAnswer
from gateway.core.states import DocumentState
from gateway.edge.points import EXIT_STATUS
from gateway.sandbox.month import PAYER
from gateway.sandbox.runner import Answers, Faults
from tests.e2e.place import AGREEMENTS, Place, agreed, open_place, rows, this_month
from tests.e2e.promises import assert_kept, books_agree, told_right

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
PAYMENTS = 80
HONEST: dict[str, dict[str, Any]] = {
    "every result twice": {"answers": Answers(repeat=2)},
    "three parts, the last one first": {"answers": Answers(parts=3, order="reverse", part_delay_s=0.2)},
    "taken up first, then the result twice in two parts": {
        "answers": Answers(pending_first=True, parts=2, repeat=2, part_delay_s=0.1)
    },
    "no receipts": {"answers": Answers(receipts=False)},
}


def everywhere(faults: Faults) -> Mapping[str, Faults]:
    """The same at every bank."""
    return dict.fromkeys(AGREEMENTS, faults)


async def documents(place: Place, bank: str) -> list[tuple[Any, ...]]:
    """State and number of sendings of a bank's payment Documents."""
    query = f"SELECT state, sendings FROM document WHERE bank = '{bank}' AND kind = 'payment' ORDER BY key"
    return await rows(place.config.ledger_url(), query)


@pytest.mark.parametrize("how", HONEST)
async def test_however_a_bank_tells_it_the_end_is_the_same(
    how: str, town_folder: Path, amqp_url: str, pg_ledger: str
) -> None:
    """Repeats and pieces change nothing: every promise as on a quiet day."""
    month = this_month(PAYMENTS)
    async with open_place(town_folder, month, amqp_url=amqp_url, ledger_url=pg_ledger, **HONEST[how]) as place:
        with place.serving() as served:
            await place.publish()
            await place.until(served, place.closed)
            served.stop()
        await assert_kept(place)
        assert await place.ledger.list_parked() == []


@pytest.mark.parametrize(
    "fault", [Faults(truncate_bytes=40, then_correct=True), Faults(seal="flipped", then_correct=True)]
)
async def test_a_damaged_result_is_kept_apart_and_the_right_one_applied(
    fault: Faults, town_folder: Path, amqp_url: str, pg_ledger: str
) -> None:
    """One quarantined Document for each bank, the raw bytes kept; what came after it is what counts."""
    month, faults = this_month(PAYMENTS), everywhere(fault)
    async with open_place(town_folder, month, amqp_url=amqp_url, ledger_url=pg_ledger, faults=faults) as place:
        with place.serving() as served:
            await place.publish()
            await place.until(served, place.closed)
            served.stop()
        await assert_kept(place)
        parked = await place.ledger.list_parked()
        assert sorted(one["bank"] for one in parked) == sorted(AGREEMENTS)
        assert {one["state"] for one in parked} == {"quarantined"}
        for one in parked:
            assert (await rows(pg_ledger, f"SELECT size FROM inbound WHERE key = {one['key']}"))[0][0]


async def test_a_bank_that_takes_its_word_back_is_parked_for_people(
    town_folder: Path, amqp_url: str, pg_ledger: str
) -> None:
    """Two lines of each result are told the other way round later: nothing moves, nothing new is told, the run does not close over it."""
    month, faults = this_month(PAYMENTS), everywhere(Faults(contradict=2))
    async with open_place(town_folder, month, amqp_url=amqp_url, ledger_url=pg_ledger, faults=faults) as place:

        async def all_is_parked() -> bool:
            return len(await place.ledger.list_parked()) == 2 * len(AGREEMENTS) and not await place.ledger.outbox_page(
                1
            )

        with place.serving() as served:
            await place.publish()
            await place.until(served, all_is_parked)
            served.stop()
        assert await place.ledger.faults() == []
        await books_agree(place)
        told_right(place)
        assert all(len(results) == 1 for results in place.ear.results().values())


async def test_a_file_that_a_bank_lost_is_asked_for_and_sent_again_once(
    town_folder: Path, amqp_url: str, pg_ledger: str
) -> None:
    """Silence → inquiry → "not found" → doubt → inquiry again → the same file once more; over AMQP and by folder."""
    lost = dict.fromkeys(("BANKB", "BANKD"), Faults(drop="file", documents=(1,)))
    month = this_month(PAYMENTS)
    async with open_place(town_folder, month, amqp_url=amqp_url, ledger_url=pg_ledger, faults=lost) as place:

        async def all_else_is_told() -> bool:
            found = await rows(pg_ledger, "SELECT bank, state FROM document")
            told = [(bank, str(DocumentState.RECEIPTED)) for bank in AGREEMENTS if bank not in lost]
            silent = [(bank, str(DocumentState.SENT)) for bank in lost]
            return sorted(found) == sorted(told + silent)

        with place.serving() as served:
            await place.publish()
            await place.until(served, all_else_is_told)
            served.stop()
        await place.time_passes()
        with place.serving() as served:
            await place.until(served, place.closed)
            served.stop()
        await assert_kept(place)
        for bank in lost:
            assert await documents(place, bank) == [(DocumentState.RECEIPTED, 2)]
            assert [one["standing"] for one in place.banks.books(bank)["documents"]].count("booked") == 1


async def test_a_lost_file_of_a_format_without_inquiry_waits_for_people(
    town_folder: Path, amqp_url: str, pg_ledger: str
) -> None:
    """An alert says that the answer is overdue; nothing is sent again on a guess, and the money counts as under way."""
    month, lost = this_month(PAYMENTS), {"BANKC": Faults(drop="file", documents=(1,))}
    async with open_place(town_folder, month, amqp_url=amqp_url, ledger_url=pg_ledger, faults=lost) as place:

        async def only_that_is_open() -> bool:
            parts = (await place.ledger.progress(month.run_id, PAYER))[1]
            return parts.get("batched", 0) == sum(o.bank == "BANKC" for o in month.instructions())

        async def people_were_told() -> bool:
            alerts = await rows(pg_ledger, "SELECT 1 FROM outbox WHERE routing_key = 'OPERATIONS.alert'")
            return bool(alerts) and not await place.ledger.outbox_page(1)

        with place.serving() as served:
            await place.publish()
            await place.until(served, only_that_is_open)
            served.stop()
        await place.time_passes()
        with place.serving() as served:
            await place.until(served, people_were_told)
            served.stop()
        assert await documents(place, "BANKC") == [(DocumentState.SENT, 1)]
        assert await place.ledger.faults() == []
        assert place.banks.books("BANKC")["paid"]["count"] == 0


#: How the bank answers a repeat, and which of its words comes first where it has two: on the repeat, or on the payments.
REPEATS = [
    pytest.param(answer, result_first, id=f"{answer}{', result first' if result_first else ''}")
    for answer in DuplicateAnswer
    for result_first in ((False, True) if answer is DuplicateAnswer.ERROR else (False,))
]


@pytest.mark.parametrize(("answer", "result_first"), REPEATS)
async def test_a_repeat_that_the_bank_had_already(
    answer: DuplicateAnswer, result_first: bool, town_folder: Path, amqp_url: str, pg_ledger: str
) -> None:
    """The bank books a file and takes it away, we die before we know that it arrived: it looks as if it never came. Whoever promises to know a
    repeat gets it again and pays once; a bank without that promise gets nothing more, and its late result clears the doubt."""
    agreement = Agreement(inquiry_interval_minutes=1) if answer is DuplicateAnswer.NO_DEDUPE else agreed(answer)
    settings: dict[str, Any] = {
        "agreements": AGREEMENTS | {"BANKA": agreement},
        "answers": Answers(receipts=False),
        "hold_results": True,
        "faults": {"BANKA": Faults(slow_s=4.0, documents=(2,))} if result_first else {},
    }
    others = [bank for bank in AGREEMENTS if bank != "BANKA"]
    month = this_month(PAYMENTS)
    async with open_place(town_folder, month, amqp_url=amqp_url, ledger_url=pg_ledger, **settings) as place:

        async def ours() -> tuple[Any, ...]:
            query = "SELECT sendings, inquiries, code FROM document WHERE bank = 'BANKA'"
            return (await rows(pg_ledger, query))[0]

        async def lanes_are_there() -> bool:
            return {lane["bank"] for lane in await place.ledger.list_lanes()} >= set(AGREEMENTS)

        async def the_bank_may_speak() -> bool:
            sendings, inquiries, _ = await ours()
            if answer is DuplicateAnswer.NO_DEDUPE:
                return bool(inquiries >= 3)  # asked in vain
            if result_first:
                return bool(sendings == 2)
            if answer is DuplicateAnswer.ERROR:
                query = "SELECT 1 FROM attempt WHERE state = 'unknown' LIMIT 1"  # the Document itself is soon found on the bank's side
                return bool(await rows(pg_ledger, query))
            return len(place.banks.books("BANKA")["documents"]) == 2

        async def all_was_heard() -> bool:
            return await place.closed() and (not result_first or (await ours())[2] == "DUPL")

        with place.serving() as served:
            await place.until(served, lanes_are_there)
            served.stop()
        for bank in others:
            await place.ledger.stop_lane(bank, "only one bank today", "operator")
        with place.serving(crash_at="send.travelled") as served:
            await place.publish()
            assert await place.until_dead(served) == EXIT_STATUS
        taken = place.folder / "banks" / "BANKA" / "files" / "in" / "done"
        await place.until_true(lambda: any(taken.iterdir()))
        for path in taken.iterdir():
            path.unlink()
        for bank in others:
            await place.ledger.resume_lane(bank, "operator", "open again")
        await place.time_passes()
        with place.serving() as served:
            await place.until(served, the_bank_may_speak)
            for bank in AGREEMENTS:
                place.banks.release(bank)
            await place.until(served, all_was_heard)
            served.stop()
        await assert_kept(place)
        again = answer is not DuplicateAnswer.NO_DEDUPE
        assert await documents(place, "BANKA") == [(DocumentState.RECEIPTED, 2 if again else 1)]
