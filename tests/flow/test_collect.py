"""What a bank lays out is applied exactly as it was signed, or kept whole with a code; whatever it is, the lane goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from gateway.core.errors import Code, NotSent
from gateway.core.verdicts import Verdict
from gateway.edge.crypto.pki import DevPki
from gateway.sandbox.config import Faults
from gateway.sandbox.faults import damaged
from gateway.sandbox.orders import Kind, Twist
from tests.flow.counterpart import Counterpart, Letter
from tests.flow.house import ISO, OWN, House
from tests.flow.scene import Scene, oracle

BOTH = pytest.mark.parametrize("code", [ISO, OWN])


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
