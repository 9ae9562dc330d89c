"""What became of it? Inquiries about Documents in doubt, and about those that were delivered and never spoken of."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from gateway.core.bank import Agreement
from gateway.core.errors import Code, InDoubt, NotSent
from gateway.core.route import Put, Rename, Stat
from gateway.core.verdicts import Verdict
from gateway.edge.crypto.pki import DevPki
from gateway.flow.asking import OVERDUE_EVERY_S, RESULT_WITHIN_MINUTES
from gateway.sandbox.orders import Kind, Question, Standing
from tests.flow.conftest import MakeHouse
from tests.flow.counterpart import Counterpart, Taken
from tests.flow.fakes import Killed
from tests.flow.house import AGREEMENT, ISO, OWN, House, bank

MINUTE = 60
WINDOW_S = AGREEMENT.not_found_window_minutes * MINUTE
INTERVAL_S = AGREEMENT.inquiry_interval_minutes * MINUTE


def final(request: object) -> bool:
    """The one rename after which the bank may act on a payment."""
    return isinstance(request, Rename) and request.final and "payment" in request.new


async def doubted(house: House, *, arrived: bool, count: int = 3) -> None:
    """A Document of the standard file in doubt, and its first question on the way."""
    house.wires[OWN].fail(final, OSError("reset"), after=arrived)
    await house.paying(count, OWN)
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 1)]


def hide(house: House) -> None:
    """The bank takes files away without a trace: the wire shows nothing."""
    for path in list(house.wires[OWN].files):
        if path.startswith("in/"):
            del house.wires[OWN].files[path]


def found(own: Counterpart, taken: Taken, question: Question, failing: dict[int, Verdict] | None = None) -> None:
    """The bank's answer: it has it, and this became of its lines."""
    rows = [row._replace(verdict=(failing or {}).get(row.id)) for row in taken.rows]
    own.say(own.letter(Kind.ANSWER, taken, rows=rows, question=question, finding=Standing.BOOKED))


def not_found(own: Counterpart, question: Question) -> None:
    """The bank's answer: it has no such file."""
    own.say(own.letter(Kind.ANSWER, question=question))


async def test_found_with_its_results(house: House, own: Counterpart) -> None:
    """The bank has it: receipted, its lines applied, the lane goes on; nothing was sent a second time."""
    await doubted(house, arrived=True)
    taken = own.take()
    hide(house)
    await house.step(OWN)
    question = own.asked()
    assert question.original == taken.order.reference
    found(own, taken, question, {2: Verdict.CARD_LOST})
    await house.paying(1, OWN, "R2")
    await house.step(OWN)
    assert house.documents() == [("receipted", 1), ("sent", 1)]
    assert house.states() == ["paid", "failed", "paid", "batched"]
    await house.sound()


async def test_not_found_before_the_window_says_nothing(house: House, own: Counterpart) -> None:
    """Asked minutes after the sending, the bank may simply not have looked yet: quiet, in doubt still, asked again later."""
    await doubted(house, arrived=False)
    await house.step(OWN)
    not_found(own, own.asked())
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 1)]
    assert house.inbound() == [("applied", "")]
    house.clock.advance(INTERVAL_S)
    await house.step(OWN)
    assert len(house.documents("inquiry")) == 2


async def test_an_early_answer_that_is_read_late_says_nothing(house: House, own: Counterpart) -> None:
    """What counts is when the bank was asked, not when we hear of it."""
    await doubted(house, arrived=False)
    await house.step(OWN)
    question = own.asked()
    house.clock.advance(WINDOW_S + 1)
    not_found(own, question)
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 1)]


async def test_not_found_after_the_window(house: House, own: Counterpart) -> None:
    """Then the same bytes, the same name and the same reference leave again; the bank has one copy and pays it once."""
    await doubted(house, arrived=False)
    before = house.rows("SELECT name, reference, digest FROM document WHERE kind = 'payment'")
    house.clock.advance(WINDOW_S)
    await house.step(OWN)
    not_found(own, own.asked())
    await house.step(OWN)
    assert house.documents() == [("sent", 2)]
    assert house.rows("SELECT name, reference, digest FROM document WHERE kind = 'payment'") == before
    taken = own.take()
    own.result(taken)
    await house.step(OWN)
    assert house.states() == ["paid"] * 3
    await house.sound()


async def test_a_replayed_not_found_says_nothing_of_the_second_copy(house: House, own: Counterpart) -> None:
    """The answer that allowed the second sending, laid out again under another name, does not allow a third one."""
    await doubted(house, arrived=False)
    house.clock.advance(WINDOW_S)
    await house.step(OWN)
    question = own.asked()
    not_found(own, question)
    house.wires[OWN].fail(final, OSError("reset"), after=True)
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 2)]
    hide(house)
    house.clock.advance(WINDOW_S)
    own.say(own.letter(Kind.ANSWER, question=question), "again.txt")
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 2)]
    assert len([name for name in house.wires[OWN].finals() if "payment" in name]) == 2


async def test_without_a_duplicate_key_two_people_must_decide(make_house: MakeHouse, keys: DevPki) -> None:
    """Not found after the window at a bank that would pay a second copy: parked for people, never sent again."""
    house = make_house(bank(OWN, agreement=Agreement(not_found_window_minutes=60)))
    own = Counterpart(OWN, "standard_file", house.wires[OWN], keys)
    await doubted(house, arrived=False)
    for _ in range(3):
        house.clock.advance(WINDOW_S)
        await house.step(OWN)
        not_found(own, own.asked())
        await house.step(OWN)
        assert house.documents() == [("in_doubt", 1)]
    assert house.inbound() == [("parked", Code.POLICY)] * 3
    assert len(house.wires[OWN].finals()) == 1 + 3  # one payment, three inquiries


async def test_an_answer_to_nobodys_question(house: House, own: Counterpart) -> None:
    """A 'not found' that answers an inquiry about another Document, or one of nobody's, is parked."""
    await doubted(house, arrived=False)
    house.clock.advance(WINDOW_S)
    await house.step(OWN)
    question = own.asked()
    for reference in ("NOBODYS", question.original):
        not_found(own, msgspec.structs.replace(question, reference=reference))
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 1)]
    assert house.inbound() == [("parked", Code.SEQ)] * 2


async def test_an_answer_that_comes_after_not_found(house: House, own: Counterpart) -> None:
    """The bank did not find it, and then answers it after all, before it left again: it does not leave again, and what was told is applied."""
    await doubted(house, arrived=True)
    taken = own.take()
    hide(house)
    house.clock.advance(WINDOW_S)
    await house.step(OWN)
    not_found(own, own.asked())
    own.result(taken)
    await house.step(OWN)
    assert house.states() == ["paid"] * 3
    assert house.documents() == [("receipted", 1)], "every line is told: the bank has it"
    assert len([name for name in house.wires[OWN].finals() if "payment" in name]) == 1
    await house.sound()


async def test_not_found_of_what_was_told_of_is_parked(house: House, own: Counterpart) -> None:
    """A Document of which lines are paid cannot be 'not found': parked, and nothing leaves."""
    await doubted(house, arrived=True)
    taken = own.take()
    hide(house)
    house.clock.advance(WINDOW_S)
    await house.step(OWN)
    question = own.asked()
    own.say(own.letter(Kind.RESULT, taken, rows=taken.rows[:1], parts=2))
    await house.step(OWN)
    own.say(own.letter(Kind.REFUSAL, taken, verdict=Verdict.DUPLICATE))
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 1)]
    not_found(own, question)
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 1)]
    assert house.inbound()[-1] == ("parked", Code.CONFLICT)


async def test_a_question_that_does_not_leave_is_not_asked_twice(house: House) -> None:
    """While an inquiry waits for the line, no second one is written; when the line is back, one leaves."""
    await doubted(house, arrived=False)
    house.wires[OWN].fail(Put, NotSent("down"), times=99)
    for _ in range(8):
        await house.step(OWN)
        house.clock.advance(INTERVAL_S)
    assert house.documents("inquiry") == [("sealed", 0)]
    house.wires[OWN].mend()
    await house.step(OWN)
    assert house.documents("inquiry") == [("sent", 1)]


async def test_a_question_in_doubt_gives_way_to_the_next(house: House) -> None:
    """An inquiry may be lost like any file: nobody asks about it, a later one takes its place."""
    await doubted(house, arrived=False)
    house.wires[OWN].fail(lambda request: isinstance(request, Rename) and request.final, InDoubt("no reply"))
    await house.step(OWN)
    assert house.documents("inquiry") == [("in_doubt", 1)]
    house.clock.advance(INTERVAL_S)
    await house.step(OWN)
    assert house.documents("inquiry") == [("refused", 1), ("sent", 1)]
    assert house.documents() == [("in_doubt", 1)]


async def test_a_question_that_nobody_has_any_more_is_void(house: House, own: Counterpart) -> None:
    """The doubt was cleared while the inquiry waited to be written: it is void, and the lane goes on."""
    await doubted(house, arrived=True)
    taken = own.take()
    hide(house)
    house.points.die_at = "seal.spooled"
    with pytest.raises(Killed, match=r"seal\.spooled"):
        await house.step(OWN)
    assert house.documents("inquiry") == [("open", 0)]
    own.say(own.letter(Kind.REFUSAL, taken, verdict=Verdict.FORMAT_REFUSED))
    await house.restarted(OWN).step()
    assert house.documents() == [("refused", 1)]
    assert house.documents("inquiry") == [("void", 0)]
    assert house.lanes() == {OWN: "running"}


async def test_questions_become_rarer(house: House) -> None:
    """A bank that never answers is asked ever less often, and never less than about twice a day."""
    await doubted(house, arrived=False)
    hide(house)
    for _ in range(7 * 24 * 4):
        await house.step(OWN)
        house.clock.advance(INTERVAL_S)
        hide(house)
    asked = [row[0] for row in house.rows("SELECT created_ms FROM document WHERE kind = 'inquiry' ORDER BY key")]
    waits = [(later - earlier) // (INTERVAL_S * 1000) for earlier, later in pairwise(asked)]
    assert waits == sorted(waits)
    assert waits[0] == 1
    assert 30 < waits[-1] <= 64


# ---------------------------------------------------------------------------------------------- silence


async def test_sent_and_never_receipted_is_asked_about(house: House, own: Counterpart) -> None:
    """No receipt within the agreed window: an inquiry leaves, people are told once, the Document stays as it is, and other payments go on."""
    await house.paying(3, OWN)
    await house.step(OWN)
    taken = own.take()
    house.clock.advance(WINDOW_S - 1)
    await house.step(OWN)
    assert house.documents("inquiry") == []
    house.clock.advance(OVERDUE_EVERY_S)
    await house.step(OWN)
    assert house.documents("inquiry") == [("sent", 1)]
    assert house.documents() == [("sent", 1)]
    assert [alert.code for alert in await house.told("alert")] == ["OVERDUE"]
    await house.paying(1, OWN, "R2")
    found(own, taken, own.asked())
    await house.step(OWN)
    assert house.documents() == [("receipted", 1), ("sent", 1)]
    assert house.states() == ["paid"] * 3 + ["batched"]


async def test_sent_and_not_found_is_a_doubt(house: House, own: Counterpart) -> None:
    """Delivered by our knowledge, and the bank does not find it: in doubt; asked again after the window it may leave once more."""
    await house.paying(3, OWN)
    await house.step(OWN)
    hide(house)
    house.clock.advance(WINDOW_S + OVERDUE_EVERY_S)
    await house.step(OWN)
    not_found(own, own.asked())
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 1)]
    assert house.states() == ["unknown"] * 3
    house.clock.advance(INTERVAL_S)
    await house.step(OWN)
    not_found(own, own.asked())
    await house.step(OWN)
    assert house.documents() == [("sent", 2)]
    own.result(own.take())
    await house.step(OWN)
    assert house.states() == ["paid"] * 3
    await house.sound()


async def test_receipted_without_results_is_asked_about(house: House, own: Counterpart) -> None:
    """A receipt, and then nothing for a day: asked; the answer brings the results to light."""
    await house.paying(3, OWN)
    await house.step(OWN)
    taken = own.take()
    own.say(own.letter(Kind.RECEIPT, taken))
    await house.step(OWN)
    assert house.documents() == [("receipted", 1)]
    house.clock.advance(RESULT_WITHIN_MINUTES * MINUTE - 1)
    await house.step(OWN)
    assert house.documents("inquiry") == []
    house.clock.advance(OVERDUE_EVERY_S)
    await house.step(OWN)
    found(own, taken, own.asked())
    await house.step(OWN)
    assert house.states() == ["paid"] * 3


async def test_a_receipted_document_is_never_not_found(house: House, own: Counterpart) -> None:
    """The bank receipted it, and now does not find it: a contradiction for people, not a reason to send it again or to stop the lane."""
    await house.paying(3, OWN)
    await house.step(OWN)
    own.say(own.letter(Kind.RECEIPT, own.take()))
    await house.step(OWN)
    house.clock.advance(RESULT_WITHIN_MINUTES * MINUTE + OVERDUE_EVERY_S)
    await house.step(OWN)
    not_found(own, own.asked())
    await house.paying(1, OWN, "R2")
    await house.step(OWN)
    assert house.documents() == [("receipted", 1), ("sent", 1)]
    assert house.inbound()[-1] == ("parked", Code.CONFLICT)


async def test_where_no_question_can_be_asked_people_are_told(house: House, iso: Counterpart) -> None:
    """A format without an inquiry: an alert after the agreed window, not one a minute, and the Document stays sent."""
    await house.paying(3, ISO)
    await house.step(ISO)
    iso.take()
    for _ in range(48):
        house.clock.advance(WINDOW_S // 2)
        await house.step(ISO)
    alerts = [alert for alert in await house.told("alert") if alert.code == "OVERDUE"]
    assert 1 <= len(alerts) <= 6
    assert house.documents() == [("sent", 1)]


async def test_nothing_is_overdue_once_all_is_told(house: House, own: Counterpart) -> None:
    """With every line told nobody is asked any more, however old the Document is."""
    await house.paying(3, OWN)
    await house.step(OWN)
    own.result(own.take())
    await house.step(OWN)
    for _ in range(5):
        house.clock.advance(RESULT_WITHIN_MINUTES * MINUTE)
        await house.step(OWN)
    assert house.documents("inquiry") == []
    assert await house.told("alert") == []
    house.wires[OWN].fail(Stat, NotSent("unused"))
