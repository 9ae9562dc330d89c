"""What a bank lays out is applied exactly as it was signed, or kept whole with a code; whatever it is, the lane goes on."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest

from gateway.core.bank import Agreement
from gateway.core.errors import Code, Malformed, NotSent, Unavailable
from gateway.core.ledger import Recorded
from gateway.core.verdicts import Verdict
from gateway.edge.crypto.pki import DevPki
from gateway.flow.asking import OVERDUE_EVERY_S
from gateway.sandbox.config import Faults
from gateway.sandbox.faults import damaged
from gateway.sandbox.orders import Booked, Kind, Twist
from tests.flow.conftest import MakeHouse
from tests.flow.counterpart import Counterpart, Letter, Taken
from tests.flow.fakes import no_plain_file, vanished
from tests.flow.house import AGREEMENT, ISO, OWN, House, bank, limits

BOTH = pytest.mark.parametrize("code", [ISO, OWN])


class Scene(NamedTuple):
    """A house whose payment file is at the bank, not answered yet."""

    house: House
    bank: Counterpart
    taken: Taken
    code: str

    async def after(self, *letters: Letter) -> None:
        """The bank lays these out, in this order, and the lane looks twice."""
        for letter in letters:
            self.bank.say(letter)
        await self.house.step(self.code, 2)

    def letter(self, kind: Kind = Kind.RESULT, rows: list[Booked] | None = None, **more: object) -> Letter:
        """One of the bank's documents about our file."""
        return self.bank.letter(kind, self.taken, rows=rows, **more)  # type: ignore[arg-type]  # as the counterpart takes them

    def row(self, number: int, **more: object) -> Booked:
        """One line, 1-based, with something else in it."""
        return self.taken.rows[number - 1]._replace(**more)  # type: ignore[arg-type]  # as the tuple has them


@pytest.fixture(params=[ISO, OWN])
async def scene(request: pytest.FixtureRequest, house: House, keys: DevPki) -> Scene:
    """Four payments at a bank of each format."""
    return await _scene(house, keys, request.param)


async def _scene(house: House, keys: DevPki, code: str) -> Scene:
    await house.paying(4, code)
    await house.step(code)
    counterpart = Counterpart(code, house.partners[code].adapter.code, house.wires[code], keys)
    return Scene(house, counterpart, counterpart.take(), code)


@pytest.fixture
async def own_scene(house: House, keys: DevPki) -> Scene:
    """Four payments at the bank of the standard file."""
    return await _scene(house, keys, OWN)


@pytest.fixture
async def iso_scene(house: House, keys: DevPki) -> Scene:
    """Four payments at the bank of ISO 20022."""
    return await _scene(house, keys, ISO)


async def oracle(scene: Scene, before: list[tuple[object, ...]], *letters: Letter) -> None:
    """Nothing was applied: totals as before, bytes kept, books sound, lane running, and the next good file is applied."""
    house = scene.house
    assert house.totals() == before
    kept = house.archived()
    for letter in letters:
        assert kept[hashlib.sha256(letter.payload).hexdigest()] == letter.payload
    assert house.lanes()[scene.code] == "running"
    await scene.after(scene.letter())
    assert house.states() == ["paid"] * 4
    await house.sound()


# ---------------------------------------------------------------------------------------------- seals


def flipped(letter: Letter) -> Letter:
    """One byte of what was signed is another one."""
    return letter._replace(payload=damaged(Faults(seal="flipped"), letter.payload))


def of_another_bank(scene: Scene, keys: DevPki) -> Letter:
    """Right format, right content, sealed with the other configured bank's own, pinned key."""
    other = OWN if scene.code == ISO else ISO
    stranger = Counterpart(other, scene.house.partners[scene.code].adapter.code, scene.house.wires[scene.code], keys)
    return stranger.letter(Kind.RESULT, scene.taken)


def of_nobody(scene: Scene, keys: DevPki) -> Letter:
    """Sealed with a key of a bank that is not configured at all."""
    stranger = Counterpart("BANKX", scene.house.partners[scene.code].adapter.code, scene.house.wires[scene.code], keys)
    return stranger.letter(Kind.RESULT, scene.taken)


SEALS: dict[str, tuple[Callable[[Scene, DevPki], Letter], set[str]]] = {
    "E1 none": (lambda scene, _: scene.letter(twist=Twist(seal="none")), {Code.SIG}),
    "E2 flipped byte": (lambda scene, _: flipped(scene.letter()), {Code.SIG}),
    "E3 impostor's key": (lambda scene, _: scene.letter(twist=Twist(seal="foreign")), {Code.SIG, Code.CERT}),
    "E12 another bank's": (of_another_bank, {Code.SIG, Code.CERT}),
    "E12 nobody's": (of_nobody, {Code.SIG, Code.CERT}),
}


@pytest.mark.parametrize("case", SEALS)
async def test_a_wrong_seal(scene: Scene, keys: DevPki, case: str) -> None:
    """Quarantined with SIG or CERT, nothing applied, raw bytes in the archive, an alert; the lane goes on."""
    make, codes = SEALS[case]
    before, letter = scene.house.totals(), make(scene, keys)
    await scene.after(letter)
    ((state, code),) = scene.house.inbound()
    assert state == "quarantined"
    assert code in codes
    assert [alert.code for alert in await scene.house.told("alert")] == [code]
    await oracle(scene, before, letter)


async def test_the_same_bytes_under_a_right_seal(own_scene: Scene) -> None:
    """A detached seal is not part of the bytes: the same file that was quarantined for its seal is applied once it comes with a right one."""
    letter = own_scene.letter()
    await own_scene.after(letter._replace(seal=None))
    assert own_scene.house.inbound() == [("quarantined", Code.SIG)]
    await own_scene.after(letter)
    assert own_scene.house.inbound() == [("quarantined", Code.SIG), ("applied", "")]
    assert own_scene.house.states() == ["paid"] * 4


async def test_a_seal_that_comes_later(own_scene: Scene) -> None:
    """A payload whose seal is still on its way waits for it a while, and is then applied."""
    house, letter = own_scene.house, own_scene.letter()
    house.wires[OWN].put(letter.name, letter.payload)
    import asyncio

    going = asyncio.create_task(house.step(OWN))
    while house.clock.next_due() is None:
        await asyncio.sleep(0)
    assert letter.seal is not None
    house.wires[OWN].files[f"out/{letter.name}.p7s"] = letter.seal
    house.clock.advance_to_next()
    await going
    assert house.inbound() == [("applied", "")]


async def test_a_seal_of_a_megabyte(own_scene: Scene) -> None:
    """A seal's file is read up to a cap; what is longer is no seal."""
    before, letter = own_scene.house.totals(), own_scene.letter()
    await own_scene.after(letter._replace(seal=b"0" * 1_000_000))
    assert own_scene.house.inbound() == [("quarantined", Code.SIG)]
    own_scene.house.wires[OWN].files.clear()
    await oracle(own_scene, before, letter)


# ---------------------------------------------------------------------------------------------- the same again


async def test_the_same_file_again(scene: Scene) -> None:
    """Same name and bytes: a duplicate; applied once (P4, F29)."""
    letter = scene.letter(rows=[scene.row(1), scene.row(2, verdict=Verdict.CARD_LOST)], parts=2)
    await scene.after(letter)
    totals = scene.house.totals()
    await scene.after(letter)
    await scene.after(letter)
    assert scene.house.inbound() == [("applied", ""), ("duplicate", ""), ("duplicate", "")]
    assert scene.house.totals() == totals
    await scene.house.sound()


async def test_the_same_name_with_other_bytes(scene: Scene) -> None:
    """A name is not a file: the second part of a split answer under the name of the first is applied as well (fact 14a)."""
    first = scene.letter(rows=scene.taken.rows[:2], part=1, parts=2)
    second = scene.letter(rows=scene.taken.rows[2:], part=2, parts=2)
    await scene.after(first)
    await scene.after(second._replace(name=first.name))
    assert scene.house.inbound() == [("applied", "")] * 2
    assert scene.house.states() == ["paid"] * 4


async def test_the_same_words_again_have_no_effect(scene: Scene) -> None:
    """Another file that says what is known already, sealed later or laid out under another name, changes nothing and tells nobody (P10, E20)."""
    await scene.after(scene.letter())
    told = len(await scene.house.told("payment.results"))
    totals = scene.house.totals()
    await scene.after(scene.letter(), scene.letter()._replace(name="again"))
    assert scene.house.totals() == totals
    assert len(await scene.house.told("payment.results")) == told
    assert scene.house.parked() == []


async def test_parts_in_any_order(scene: Scene) -> None:
    """A split result, last part first."""
    parts = [scene.letter(rows=[row], part=number, parts=4) for number, row in enumerate(scene.taken.rows, 1)]
    await scene.after(*reversed(parts))
    assert scene.house.states() == ["paid"] * 4
    assert [name for name, _ in await scene.house.tell()].count("run.closed") == 1


async def test_a_line_told_twice_alike_in_one_file(iso_scene: Scene) -> None:
    """Applied once; the second mention is quiet, and the file does not come back for ever."""
    rows = [*iso_scene.taken.rows, iso_scene.taken.rows[0]]
    await iso_scene.after(iso_scene.letter(rows=rows))
    assert iso_scene.house.inbound() == [("applied", "")]
    assert iso_scene.house.states() == ["paid"] * 4
    assert iso_scene.house.parked() == []


@pytest.mark.parametrize("turned", [False, True], ids=["paid first", "failed first"])
async def test_b19_paid_and_failed_in_one_file(iso_scene: Scene, turned: bool) -> None:
    """Whichever comes first, neither is believed: both are parked, the line stays where it was, the others are applied."""
    rows = [iso_scene.row(1), iso_scene.row(1, verdict=Verdict.CARD_LOST)]
    await iso_scene.after(iso_scene.letter(rows=[*(reversed(rows) if turned else rows), *iso_scene.taken.rows[1:]]))
    assert iso_scene.house.states() == ["batched", "paid", "paid", "paid"]
    assert iso_scene.house.parked() == [Code.CONFLICT] * 2
    await iso_scene.house.sound()


async def test_pending_and_then_paid_in_one_file(iso_scene: Scene) -> None:
    """Taken up, later in the same file credited: that is no contradiction."""
    pending = iso_scene.letter(Kind.PENDING)
    await iso_scene.after(pending, iso_scene.letter())
    assert iso_scene.house.states() == ["paid"] * 4
    assert iso_scene.house.parked() == []


# ---------------------------------------------------------------------------------------------- what is not ours


async def test_c17_header_only(scene: Scene) -> None:
    """An empty answer is valid: it is a receipt, and does not close the set."""
    await scene.after(scene.letter(rows=[], parts=0))
    assert scene.house.inbound() == [("applied", "")]
    assert scene.house.documents() == [("receipted", 1)]
    assert scene.house.states() == ["batched"] * 4


async def test_a_result_before_our_own_mark(house: House, keys: DevPki) -> None:
    """F29: the bank answers while our ledger still says 'sending': found after the restart, applied, never sent again."""
    house.points.die_at = "send.travelled"
    await house.paying(4, OWN)
    with pytest.raises(BaseException, match=r"send\.travelled"):
        await house.step(OWN)
    own = Counterpart(OWN, "standard_file", house.wires[OWN], keys)
    own.result(own.take())
    await house.restarted(OWN).step()
    assert house.documents() == [("receipted", 1)]
    assert house.states() == ["paid"] * 4
    assert [name for name in house.wires[OWN].finals() if "payment" in name] == [own_name(house)]


def own_name(house: House) -> str:
    """Name of the only payment file."""
    ((name,),) = house.rows("SELECT name FROM document WHERE kind = 'payment'")
    return str(name)


async def test_b21_a_result_for_what_was_never_sent(scene: Scene) -> None:
    """Well sealed, about a file that we never sent: parked whole with SEQ, nothing applied."""
    before, letter = scene.house.totals(), scene.letter(twist=Twist(unknown_original=True))
    await scene.after(letter)
    assert scene.house.inbound() == [("parked", Code.SEQ)]
    await oracle(scene, before, letter)


@BOTH
async def test_a_result_for_what_is_sealed_and_did_not_leave(house: House, keys: DevPki, code: str) -> None:
    """The reference is right, but nothing has left: parked with SEQ."""
    from gateway.core.route import Put

    house.wires[code].fail(Put, NotSent("down"))
    await house.paying(4, code)
    await house.step(code)
    name, digest = own_name(house), house.rows("SELECT digest FROM document")[0][0]
    source = house.archived()[digest]
    seal = house.rows("SELECT seal FROM document")[0][0]
    house.wires[code].put(name, source, seal, folder="in")
    counterpart = Counterpart(code, house.partners[code].adapter.code, house.wires[code], keys)
    counterpart.result(counterpart.take())
    before = house.totals()
    await house.lane(code)._inward()
    assert house.inbound() == [("parked", Code.SEQ)]
    assert house.totals() == before


async def test_e18_last_months_result(scene: Scene) -> None:
    """Valid once: a result of an earlier file again, in a new file, changes nothing."""
    await scene.after(scene.letter())
    await scene.house.paying(2, scene.code, "R2")
    await scene.house.step(scene.code)
    totals = scene.house.totals()
    await scene.after(scene.letter()._replace(name="old.txt"))
    assert scene.house.totals() == totals


async def test_another_digest_than_ours(own_scene: Scene) -> None:
    """The bank holds other bytes under our reference: parked with CONFLICT, nothing applied."""
    before, letter = own_scene.house.totals(), own_scene.letter(digest="0" * 64)
    await own_scene.after(letter)
    assert own_scene.house.inbound() == [("parked", Code.CONFLICT)]
    await oracle(own_scene, before, letter)


async def test_b20_other_totals(scene: Scene) -> None:
    """Totals that are a fen off: TOTALS, nothing applied."""
    before, letter = scene.house.totals(), scene.letter(twist=Twist(wrong_totals=True))
    await scene.after(letter)
    ((state, code),) = scene.house.inbound()
    assert (state, code) == ("parked" if scene.code == ISO else "quarantined", Code.TOTALS)
    await oracle(scene, before, letter)


async def test_a_receipt_with_other_totals(scene: Scene) -> None:
    """A receipt that counts another number of fen than we sent is about another file: parked with TOTALS, the Document stays sent."""
    order = scene.taken.order
    import msgspec

    other = scene.taken._replace(order=msgspec.structs.replace(order, minor=order.minor + 1))
    await scene.after(scene.bank.letter(Kind.RECEIPT, other))
    assert scene.house.inbound() == [("parked", Code.TOTALS)]
    assert scene.house.documents() == [("sent", 1)]


async def test_c14_header_of_another_day(own_scene: Scene) -> None:
    """A header's own date decides nothing: the reference, the digest and the totals do."""
    letter = own_scene.letter()
    body = letter.payload.replace(b"|20150610093000|", b"|20150510093000|").rsplit(b"T|", 1)[0]
    count, minor = len(own_scene.taken.rows), sum(row.minor for row in own_scene.taken.rows)
    payload = body + f"T|{count}|{minor}|{hashlib.sha256(body).hexdigest()}\n".encode()
    assert payload != letter.payload
    await own_scene.after(Letter(letter.name, payload, own_scene.bank.resealed(payload)))
    assert own_scene.house.states() == ["paid"] * 4


# ---------------------------------------------------------------------------------------------- lines


class Line(NamedTuple):
    """How one line is told, and what must come of it."""

    told: Callable[[Scene], Booked]
    code: str


LINES = {
    "B17 unknown reference": Line(lambda s: s.row(2, reference="999999999999"), Code.UNKNOWN_REF),
    "B17 no number at all": Line(lambda s: s.row(2, reference="9" * 19), Code.UNKNOWN_REF),
    "B18 another amount": Line(lambda s: s.row(2, minor=s.row(2).minor + 1), Code.CONFLICT),
    "B18 another amount of a failure": Line(
        lambda s: s.row(2, minor=s.row(2).minor - 1, verdict=Verdict.CARD_LOST), Code.CONFLICT
    ),
    "B16 unknown code": Line(lambda s: s.row(2, verdict=Verdict.UNKNOWN_CODE), Code.UNKNOWN_CODE),
}


@pytest.mark.parametrize("case", LINES)
async def test_a_line_that_no_rule_can_apply(scene: Scene, case: str) -> None:
    """That line is parked with its code and the bank's own words; the others are applied; the set stays open, nothing is repaid."""
    line = LINES[case]
    rows = [scene.row(1), line.told(scene), scene.row(3), scene.row(4, verdict=Verdict.CARD_LOST)]
    await scene.after(scene.letter(rows=rows))
    assert scene.house.inbound() == [("applied", "")]
    assert scene.house.states() == ["paid", "batched", "paid", "failed"]
    assert scene.house.parked() == [line.code]
    ((raw,),) = scene.house.rows("SELECT raw FROM parked")
    assert rows[1].reference in raw
    await scene.house.sound()
    from gateway.core.contracts import InstructionRepay

    await scene.house.send("instruction.repay", InstructionRepay(instruction_id="I00004", reason="解除挂失"))
    (refused,) = await scene.house.told("instruction.repay_refused")
    assert refused.items[0].code == Code.POLICY
    assert "run.closed" not in [name for name, _ in await scene.house.tell()]


async def test_b17_another_banks_payment(house: House, keys: DevPki) -> None:
    """One bank tells of a payment that went to the other: parked, the other's payment is untouched."""
    own = await _scene(house, keys, OWN)
    await house.paying(4, ISO, "R2")
    await house.step(ISO)
    iso = Counterpart(ISO, "iso20022", house.wires[ISO], keys)
    theirs = iso.take()
    await own.after(own.letter(rows=[*own.taken.rows[:3], theirs.rows[0]._replace(id=4)]))
    assert house.states() == ["paid"] * 3 + ["batched"] * 5
    assert house.parked() == [Code.UNKNOWN_REF]


async def test_b17_another_documents_payment(house: House, keys: DevPki) -> None:
    """A line of another Document of the same bank, which has left: parked, not applied."""
    first = await _scene(house, keys, OWN)
    await house.paying(4, OWN, "R2")
    await house.step(OWN)
    second = first.bank.take()
    await first.after(first.letter(rows=[*first.taken.rows[:3], second.rows[0]._replace(id=4)]))
    assert house.states() == ["paid"] * 3 + ["batched"] * 5
    assert house.parked() == [Code.UNKNOWN_REF]


async def test_a_payment_told_of_before_it_leaves_is_held(house: House, keys: DevPki) -> None:
    """The bank tells that a payment is paid which lies here, sealed: it must not leave before somebody has looked."""
    from gateway.core.route import Put

    first = await _scene(house, keys, OWN)
    house.wires[OWN].fail(Put, NotSent("down"), times=99)
    await house.paying(4, OWN, "R2")
    await house.step(OWN)
    assert house.documents() == [("sent", 1), ("sealed", 0)]
    ((key,),) = house.rows("SELECT MIN(key) FROM attempt WHERE document_key = 2")
    amount = house.rows("SELECT amount FROM attempt WHERE key = ?", key)[0][0]
    foreign = first.row(4, reference=str(key), minor=amount)
    await first.after(first.letter(rows=[*first.taken.rows[:3], foreign]))
    assert house.parked() == [Code.UNKNOWN_REF]
    assert house.documents()[1] == ("void", 0)
    assert house.states()[4:] == ["held", "batched", "batched", "batched"]
    await house.sound()


async def test_a_contradiction_is_parked_and_never_overwrites(scene: Scene) -> None:
    """A later file turns paid into failed and failed into paid: the first words stand, both are parked (P5)."""
    rows = [scene.row(1), scene.row(2, verdict=Verdict.CARD_LOST), scene.row(3), scene.row(4)]
    await scene.after(scene.letter(rows=rows))
    turned = [scene.row(1, verdict=Verdict.CARD_LOST), scene.row(2)]
    await scene.after(scene.letter(rows=turned, part=2, parts=0))
    assert scene.house.states() == ["paid", "failed", "paid", "paid"]
    assert scene.house.parked() == [Code.CONFLICT] * 2
    await scene.house.sound()


async def test_a_contradiction_holds_the_second_payment(scene: Scene) -> None:
    """Failed, ordered again, and then the bank says it was paid after all: the second payment is held before it leaves."""
    from gateway.core.contracts import InstructionRepay

    rows = [scene.row(1), scene.row(2, verdict=Verdict.CARD_LOST), scene.row(3), scene.row(4)]
    await scene.after(scene.letter(rows=rows))
    await scene.house.send("instruction.repay", InstructionRepay(instruction_id="I00002", reason="解除挂失"))
    assert scene.house.states()[4:] == ["new"]
    await scene.after(scene.letter(rows=[scene.row(2)], part=2, parts=0))
    assert scene.house.states()[4:] == ["held"]
    await scene.house.sound()


# ---------------------------------------------------------------------------------------------- the whole file


@pytest.mark.parametrize("verdict", [Verdict.FUNDS, Verdict.FORMAT_REFUSED, Verdict.SEAL_REFUSED, Verdict.NOT_ALLOWED])
async def test_a_whole_file_refused_with_proof(scene: Scene, verdict: Verdict) -> None:
    """Left once, nothing booked: the Document is refused, its payments are held, same try, until people free them; then a new file carries them."""
    await scene.after(scene.letter(Kind.RECEIPT), scene.letter(Kind.REFUSAL, verdict=verdict))
    assert scene.house.documents() == [("refused", 1)]
    assert scene.house.states() == ["held"] * 4
    await scene.house.ledger.propose_free("anna", "R1")
    await scene.house.ledger.approve_free("bert", "R1")
    await scene.house.step(scene.code)
    assert scene.house.documents() == [("refused", 1), ("sent", 1)]
    again = scene.bank.take()
    assert again.order.reference != scene.taken.order.reference
    scene.bank.result(again)
    await scene.house.step(scene.code, 2)
    assert scene.house.states() == ["paid"] * 4
    await scene.house.sound()


@pytest.mark.parametrize("freed", ["held", "ready", "filed", "sealed"])
async def test_a_refused_file_that_is_paid_after_all(scene: Scene, freed: str) -> None:
    """The bank refused the whole and then tells that lines are paid: nothing of them may leave again, wherever they are by then."""
    from gateway.core.route import Put

    house, code = scene.house, scene.code
    await scene.after(scene.letter(Kind.REFUSAL, verdict=Verdict.FUNDS))
    if freed != "held":
        await house.ledger.propose_free("anna", "R1")
        await house.ledger.approve_free("bert", "R1")
    if freed == "filed":
        house.points.die_at = "dispatch.filed"
        with pytest.raises(BaseException, match="dispatch"):
            await house.step(code)
    if freed == "sealed":
        house.wires[code].fail(Put, NotSent("down"))
        await house.step(code)
    scene.bank.say(scene.letter(rows=scene.taken.rows[:1], parts=0))
    await house.step(code, 2)
    assert house.states()[0] == "held"
    assert len(house.parked()) == 1
    house.clock.advance(600)
    await house.step(code, 2)
    in_flight = house.rows("SELECT COUNT(*) FROM attempt WHERE state = 'batched'")[0][0]
    assert in_flight == (0 if freed == "held" else 3)
    ((references,),) = house.rows(
        "SELECT COUNT(DISTINCT reason) FROM hold WHERE closed_ms IS NULL AND reason = 'CONTRADICTION'"
    )
    assert references == 1
    await house.sound()


async def test_a_refusal_after_the_document_left_twice_proves_nothing(own_scene: Scene) -> None:
    """Sent again after 'not found', then refused: the refusal may be of the second copy: in doubt, unknown, asked."""
    house = own_scene.house
    house.wires[OWN].files.clear()
    with house_db(house) as db:  # as after a 'not found' and a second sending
        db.execute("UPDATE document SET sendings = 2")
    await own_scene.after(own_scene.letter(Kind.REFUSAL, verdict=Verdict.FUNDS))
    assert house.documents()[0] == ("in_doubt", 2)
    assert house.states() == ["unknown"] * 4
    await house.sound()


def house_db(house: House):  # type: ignore[no-untyped-def]  # sqlite3's own context manager
    """The ledger, to be written beside it."""
    import sqlite3

    return sqlite3.connect(house.path)


async def test_a_duplicate_is_never_a_failure(scene: Scene) -> None:
    """The bank says that it has the file already: in doubt, all lines unknown, nothing failed; its first result clears it."""
    await scene.after(scene.letter(Kind.REFUSAL, verdict=Verdict.DUPLICATE))
    assert scene.house.documents()[0][0] in ("in_doubt", "receipted")
    assert scene.house.states() == ["unknown"] * 4
    await scene.after(scene.letter())
    assert scene.house.documents()[0][0] == "receipted"
    assert scene.house.states() == ["paid"] * 4
    await scene.house.sound()


async def test_a_duplicate_on_one_line(scene: Scene) -> None:
    """One line 'repeated': unknown, never failed; the bank's later word decides."""
    rows = [*scene.taken.rows[:3], scene.row(4, verdict=Verdict.DUPLICATE)]
    await scene.after(scene.letter(rows=rows))
    assert scene.house.states() == ["paid"] * 3 + ["unknown"]
    await scene.after(scene.letter(rows=[scene.row(4)], part=2, parts=0))
    assert scene.house.states() == ["paid"] * 4


async def test_an_unknown_code_on_the_whole_file(own_scene: Scene) -> None:
    """No table has the code: the whole answer is parked, the Document and its lines stay as they are."""
    before, letter = own_scene.house.totals(), own_scene.letter(Kind.REFUSAL, verdict=Verdict.FUNDS, code="9999")
    await own_scene.after(letter)
    assert own_scene.house.inbound() == [("parked", Code.UNKNOWN_CODE)]
    assert own_scene.house.documents() == [("sent", 1)]
    await oracle(own_scene, before, letter)


async def test_a_time_out_of_the_bank_is_a_doubt(own_scene: Scene) -> None:
    """'Gave up waiting' on the whole file: nobody knows, so unknown; the bank has the file, so it is asked what became of it."""
    house = own_scene.house
    await own_scene.after(own_scene.letter(Kind.REFUSAL, verdict=Verdict.TIMEOUT))
    assert house.documents() == [("receipted", 1)]
    assert house.states() == ["unknown"] * 4
    house.clock.advance(AGREEMENT.not_found_window_minutes * 60 + OVERDUE_EVERY_S)
    await house.step(OWN)
    assert own_scene.bank.asked().original == own_scene.taken.order.reference
    await house.sound()


async def test_one_doubtful_line_is_asked_about(own_scene: Scene) -> None:
    """All lines but one are told, and of that one the bank gave up waiting: it is asked within the agreed window, not a day later."""
    house = own_scene.house
    rows = [*own_scene.taken.rows[:3], own_scene.row(4, verdict=Verdict.TIMEOUT)]
    await own_scene.after(own_scene.letter(rows=rows))
    assert house.states() == ["paid"] * 3 + ["unknown"]
    house.clock.advance(AGREEMENT.not_found_window_minutes * 60 + OVERDUE_EVERY_S)
    await house.step(OWN)
    assert house.documents("inquiry") == [("sent", 1)]


# ---------------------------------------------------------------------------------------------- money that comes back


async def test_a_return_of_what_was_paid(scene: Scene) -> None:
    """Money that came back: returned, with the amount and reference of the payment."""
    await scene.after(scene.letter())
    await scene.after(scene.letter(Kind.RETURN, rows=[scene.row(2, verdict=Verdict.ACCOUNT_CLOSED)]))
    assert scene.house.states() == ["paid", "returned", "paid", "paid"]
    await scene.house.sound()


@pytest.mark.parametrize("wrong", [{"minor": 1}, {"reference": "999999999999"}], ids=["amount", "reference"])
async def test_a_return_that_matches_nothing(scene: Scene, wrong: dict[str, object]) -> None:
    """Another amount or reference: parked, nothing changes."""
    await scene.after(scene.letter())
    totals = scene.house.totals()
    await scene.after(scene.letter(Kind.RETURN, rows=[scene.row(2, verdict=Verdict.ACCOUNT_CLOSED, **wrong)]))
    assert scene.house.totals() == totals
    assert len(scene.house.parked()) == 1


async def test_a_return_of_what_never_left_is_held(house: House, keys: DevPki) -> None:
    """Money comes back for a payment that lies here sealed: parked, and the payment is held."""
    from gateway.core.route import Put

    first = await _scene(house, keys, OWN)
    house.wires[OWN].fail(Put, NotSent("down"), times=99)
    await house.paying(4, OWN, "R2")
    await house.step(OWN)
    ((key, amount),) = house.rows("SELECT key, amount FROM attempt WHERE document_key = 2 ORDER BY key LIMIT 1")
    row = first.row(1, reference=str(key), minor=amount, verdict=Verdict.ACCOUNT_CLOSED)
    await first.after(first.letter(Kind.RETURN, rows=[row]))
    assert house.states()[4] == "held"
    assert house.parked() == [Code.UNKNOWN_REF]
    await house.sound()


# ---------------------------------------------------------------------------------------------- bytes


async def test_f30_cut_at_every_place(own_scene: Scene) -> None:
    """A file cut anywhere, even sealed so by the bank itself, is never half applied."""
    letter, house = own_scene.letter(), own_scene.house
    before = house.totals()
    for cut in range(0, len(letter.payload), 29):
        payload = letter.payload[:cut]
        own_scene.bank.say(Letter(f"cut{cut}.txt", payload, own_scene.bank.resealed(payload)))
    await house.step(OWN, 2)
    states = house.inbound()
    assert {state for state, _ in states} == {"quarantined"}
    assert {code for _, code in states} <= {Code.TRUNCATED, Code.TOTALS, Code.FORMAT, Code.SCHEMA, Code.SIG}
    await oracle(own_scene, before)


async def test_truncated_inside_the_seal(scene: Scene) -> None:
    """Cut on the way: the seal does not hold, or the end is missing; nothing is applied."""
    before, letter = scene.house.totals(), scene.letter()
    cut = letter._replace(payload=letter.payload[:-40])
    await scene.after(cut)
    ((state, code),) = scene.house.inbound()
    assert state == "quarantined"
    assert code in (Code.SIG, Code.TRUNCATED, Code.FORMAT)
    await oracle(scene, before, cut)


@pytest.mark.parametrize("payload", [b"", b"\n", b"\0" * 1_000, b"<a/>", b"H|SHEYIN|1|", b"\xff\xfe<\0"], ids=repr)
async def test_rubbish(scene: Scene, payload: bytes) -> None:
    """Nothing, blanks, zeros, another document: quarantined, bytes kept."""
    before = scene.house.totals()
    letter = Letter("rubbish.bin", payload, scene.bank.resealed(payload) if scene.code == OWN else None)
    await scene.after(letter)
    assert [state for state, _ in scene.house.inbound()] == ["quarantined"]
    await oracle(scene, before, letter)


async def test_a_readers_own_fault_is_kept_from_coming_back(scene: Scene) -> None:
    """A fault of our own reader quarantines the file with an alert, instead of taking the lane down again and again."""
    import msgspec

    house, code = scene.house, scene.code
    partner = house.partners[code]

    def broken(_: object) -> object:
        raise IndexError("list index out of range")

    house.partners[code] = msgspec.structs.replace(
        partner, adapter=msgspec.structs.replace(partner.adapter, read=broken)
    )
    before, letter = house.totals(), scene.letter()
    house._lanes.clear()
    house.clock.advance(61)
    await scene.after(letter)
    assert house.inbound() == [("quarantined", Code.FORMAT)]
    house.partners[code] = partner
    house._lanes.clear()
    house.clock.advance(61)
    await oracle(scene, before, letter)


# ---------------------------------------------------------------------------------------------- the door


async def test_above_the_size_cap(make_house: MakeHouse, keys: DevPki) -> None:
    """SIZE: not taken in, left where it is, told once an hour; what lies behind it comes in all the same."""
    house = make_house(bank(OWN, limits=limits(OWN, document_bytes_max=20_000)))
    scene = await _scene(house, keys, OWN)
    house.wires[OWN].put("aa-huge.txt", b"x" * 20_001, b"seal")
    scene.bank.result(scene.taken)
    for _ in range(30):
        await house.step(OWN)
    assert house.states() == ["paid"] * 4
    assert "out/aa-huge.txt" in house.wires[OWN].files
    alerts = await house.told("alert")
    assert [alert.code for alert in alerts] == [Code.SIZE]
    house.clock.advance(3_601)
    await house.step(OWN, 3)
    assert len(await house.told("alert")) == 2
    assert house.inbound() == [("applied", "")]


@pytest.mark.parametrize("which", ["payload", "seal"])
@pytest.mark.parametrize(
    "error", [no_plain_file("out/aa.txt"), vanished("out/aa.txt")], ids=["no plain file", "vanished"]
)
async def test_one_unreadable_file_blocks_no_other(own_scene: Scene, which: str, error: Malformed | NotSent) -> None:
    """A link, a FIFO, a file that vanishes or grows while it is read (G2, G3, G5): the next ones are taken in, the lane goes on."""
    house = own_scene.house
    wire = house.wires[OWN]
    wire.put("aa.txt", b"whatever", b"seal")
    wire.unreadable["out/aa.txt" if which == "payload" else "out/aa.txt.p7s"] = error
    own_scene.bank.result(own_scene.taken)
    await house.step(OWN, 2)
    assert house.states() == ["paid"] * 4
    assert house.lanes() == {OWN: "running"}


async def test_a_line_that_breaks_while_fetching(own_scene: Scene) -> None:
    """Where nothing can be read any more the round ends; the next one takes everything."""
    house, wire = own_scene.house, own_scene.house.wires[OWN]
    for number in range(10):
        wire.put(f"part{number}.txt", b"whatever", b"seal")
        wire.unreadable[f"out/part{number}.txt"] = NotSent("connection lost")
    asked = len(wire.asked)
    await house.step(OWN)
    assert len(wire.asked) - asked < 6
    wire.mend()
    await house.step(OWN)
    assert [state for state, _ in house.inbound()] == ["quarantined"] * 10


async def test_the_ledger_away_at_the_door(own_scene: Scene) -> None:
    """Archived but not recorded: it stays at the bank and comes in later; nothing is lost, nothing doubled."""
    house, letter = own_scene.house, own_scene.letter()
    house.points.die_at = "collect.archived"
    own_scene.bank.say(letter)
    with pytest.raises(BaseException, match="collect"):
        await house.step(OWN)
    assert house.inbound() == []
    assert f"out/{letter.name}" in house.wires[OWN].files
    await house.restarted(OWN).step()
    assert house.inbound() == [("applied", "")]


async def test_recorded_and_still_at_the_bank(own_scene: Scene) -> None:
    """We died after recording, before the bank's side was told: it is fetched again and is the same Document."""
    house, letter = own_scene.house, own_scene.letter()
    house.points.die_at = "collect.recorded"
    own_scene.bank.say(letter)
    with pytest.raises(BaseException, match="collect"):
        await house.step(OWN)
    await house.restarted(OWN).step()
    assert house.inbound() == [("applied", "")]
    assert house.states() == ["paid"] * 4


async def test_half_applied_is_not_applied(own_scene: Scene) -> None:
    """Dying in the middle of applying leaves nothing behind; afterwards all of it is applied (P9)."""
    house = own_scene.house
    before = house.totals()
    house.points.die_at = "collect.weighed"
    own_scene.bank.say(own_scene.letter())
    with pytest.raises(BaseException, match="collect"):
        await house.step(OWN)
    assert house.totals() == before
    await house.restarted(OWN).step()
    assert house.states() == ["paid"] * 4
    await house.sound()


async def test_the_door_itself(house: House) -> None:
    """By whatever way it comes: NEW, the same again NEW while under way, DUP once applied; a stream that fails leaves nothing."""
    partner, door = house.partners[OWN], house.collector

    async def stream(*parts: bytes, fails: BaseException | None = None) -> AsyncIterator[bytes]:
        for part in parts:
            yield part
        if fails is not None:
            raise fails

    assert await door.take_in(partner, "a.txt", stream(b"1", b"2"), "console", None) is Recorded.NEW
    assert await door.take_in(partner, "a.txt", stream(b"12"), "folder", None) is Recorded.NEW
    assert len(house.inbound()) == 1
    with pytest.raises(NotSent):
        await door.take_in(partner, "b.txt", stream(b"1", fails=NotSent("it changes")), "folder", None)
    with pytest.raises(Malformed) as found:
        await door.take_in(partner, "c.txt", stream(b"x" * (partner.limits.document_bytes_max + 1)), "folder", None)
    assert found.value.code is Code.SIZE
    assert len(house.inbound()) == 1
    assert list(house.archived().values()) == [b"12"]
    assert not list((house.folder / "archive" / "tmp").iterdir())


async def test_an_unsealed_bank_by_its_channel(make_house: MakeHouse, keys: DevPki) -> None:
    """In the unsigned test profile the channel is the proof, and the ledger says so."""
    house = make_house(bank(OWN, sealed=False, agreement=Agreement()))
    await house.paying(2, OWN)
    await house.step(OWN)
    own = Counterpart(OWN, "standard_file", house.wires[OWN], keys, sealed=False)
    own.result(own.take())
    await house.step(OWN, 2)
    assert house.rows("SELECT state, seal_by FROM inbound") == [("applied", "channel folder")]


async def test_unavailable_is_told_upwards(own_scene: Scene) -> None:
    """A ledger that is away ends the step; nothing is quarantined for it."""
    house = own_scene.house
    own_scene.bank.say(own_scene.letter())
    apply = house.ledger.apply

    async def away(*_: object) -> None:
        raise Unavailable("the ledger is away")

    house.ledger.apply = away  # type: ignore[assignment]  # a server that is restarted
    with pytest.raises(Unavailable):
        await house.step(OWN)
    house.ledger.apply = apply  # type: ignore[method-assign]  # and is back
    await house.step(OWN)
    assert house.inbound() == [("applied", "")]
