"""Whatever bytes lie at a bank, and whatever breaks while they are fetched: the lane goes on and nothing is half applied."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.core.bank import Agreement
from gateway.core.errors import Code, Malformed, NotSent, Unavailable
from gateway.core.ledger import Recorded
from gateway.edge.crypto.pki import DevPki
from tests.flow.conftest import MakeHouse
from tests.flow.counterpart import Counterpart, Letter
from tests.flow.fakes import no_plain_file, vanished
from tests.flow.house import OWN, House, bank, limits
from tests.flow.scene import Scene, oracle, standing

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
    scene = await standing(house, keys, OWN)
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
    house.clock.advance(1)
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
