"""The month at two thousand: published, released, paid, paid again, by the commands that people have, with the gateway stopped in the middle."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.sandbox.failures import APPROVER, VERIFIER
from gateway.sandbox.month import PAYER
from gateway.sandbox.runner import Answers
from tests.cli.conftest import Ran, run_in
from tests.e2e.place import Place, Served, open_place, secret, this_month
from tests.e2e.promises import assert_kept

PAYMENTS = 2_000
#: Results come in four parts, so that there is a middle in which to stop.
ANSWERS = Answers(parts=4, part_delay_s=0.5)


def call(place: Place, *words: str, who: str = "", stdin: bytes = b"") -> Ran:
    """``sheyin``, as a person calls it in the installation's folder."""
    signed = ("--as", who) if who else ()
    variables = place.environment | ({"SHEYIN_ACTOR_SECRET": secret(who)} if who else {})
    return run_in(place.folder, *words, *signed, stdin=stdin, **variables)


def good(place: Place, *words: str, who: str = "", stdin: bytes = b"") -> Any:
    """Its JSON; it must end with 0."""
    done = call(place, *words, "--json", who=who, stdin=stdin)
    assert done.code == 0, done.out + done.err
    return done.json


def publish(place: Place) -> None:
    """The payer publishes the month from a file; twice, as one does who has not seen that it went through."""
    header = place.month.header
    path = place.folder / "month.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(order) + b"\n" for order in place.month.instructions()))
    words = (
        *(
            "payer",
            "publish",
            str(path),
            "--run-id",
            header.run_id,
            "--line",
            str(header.line),
            "--period",
            header.period,
        ),
        *("--fund", header.fund, "--debit-account", header.debit_account, "--pay-date", header.pay_date.isoformat()),
    )
    sent = good(place, *words)
    assert (sent["count"], sent["minor"]) == (PAYMENTS, header.total)
    assert good(place, *words) == sent


def release(place: Place, run_id: str, count: int, minor: int) -> None:
    """Two people; the maker's figures must be right."""
    refused = call(place, "release", "propose", run_id, "--confirm", f"{count}:{minor + 1}", who=VERIFIER)
    assert refused.code == 2
    good(place, "release", "propose", run_id, "--confirm", f"{count}:{minor}", who=VERIFIER)
    good(place, "release", "approve", run_id, who=APPROVER)


async def second_payment(place: Place, served: Served) -> int:
    """What can be mended is ordered again, gathered into a run, released and paid; how many."""
    orders = place.month.repayments()
    path = place.folder / "repay.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(order) + b"\n" for order in orders))
    assert good(place, "payer", "send", "instruction.repay", str(path))["messages"] == len(orders)

    async def gathered() -> bool:
        return (await place.ledger.totals()).get("new", {}).get("count", 0) == len(orders)

    await place.until(served, gathered)
    runs = [run["run_id"] for run in await place.ledger.list_runs() if run["kind"] == "second_payment"]
    ordered = 0
    for run_id in runs:
        seen = await place.ledger.release_preview(run_id, PAYER, False)
        ordered += seen["count"]
        release(place, run_id, seen["count"], seen["minor"])
    assert ordered == len(orders)
    await place.until(served, place.closed)
    return ordered


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_month_and_its_second_payment_by_command(town_folder: Any, amqp_url: str, pg_ledger: str) -> None:
    """Stopped by SIGTERM once with messages and once with results under way; figures of status, report and check agree with the banks' books."""
    month = this_month(PAYMENTS)
    settings: dict[str, Any] = {"amqp_url": amqp_url, "ledger_url": pg_ledger, "answers": ANSWERS}
    async with open_place(town_folder, month, **settings) as place:
        place.released.add(month.run_id)  # by hand, below
        with place.serving() as served:
            publish(place)
            served.stop()

        async def accepted() -> bool:
            return (await place.ledger.progress(month.run_id, PAYER))[0] == "accepted"

        async def some_are_paid() -> bool:
            return (await place.ledger.progress(month.run_id, PAYER))[1].get("paid", 0) > 0

        with place.serving() as served:
            await place.until(served, accepted)
            release(place, month.run_id, PAYMENTS, month.header.total)
            await place.until(served, some_are_paid)
            served.stop()
        assert not await place.closed(), "there was no middle"
        with place.serving() as served:
            await place.until(served, place.closed)
            await assert_kept(place)
            mended = await second_payment(place, served)
            served.stop()
        await assert_kept(place)

        report = good(place, "report", month.run_id)["success"]["total"]
        first = PAYMENTS - len(month.failures)
        assert (report["ordered"], report["paid_first"], report["paid_later"]) == (PAYMENTS, first, mended)
        assert good(place, "status", month.run_id)["conserved"]
        assert good(place, "check")["ok"]
        assert good(place, "parked", "list") == {"parked": []}
        assert good(place, "audit", "verify")["acts"] > 5
        told = place.ear.results()
        assert sum(results[-1].attempt == 2 for results in told.values()) == mended
        paid = sum(results[-1].amount for results in told.values() if results[-1].outcome == "paid")
        assert paid == sum(place.banks.books(bank.code)["paid"]["minor"] for bank in place.config.banks)
