"""What else a bank lays out: packed files, a marker without bytes, a gap between parts, a seal of its test environment."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from gateway.core.contracts import InstructionRepay
from gateway.core.errors import Code
from gateway.core.verdicts import Verdict
from gateway.edge.crypto.pki import DevPki, make
from gateway.sandbox.orders import Kind
from tests.flow.counterpart import Counterpart, Letter
from tests.flow.house import ISO, OWN
from tests.flow.scene import Scene, oracle


def packed(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """A zip of these members."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return whole.getvalue()


def link(_: bytes) -> bytes:
    """A member that is a symbolic link to a file of ours."""
    member = zipfile.ZipInfo("result.txt")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return packed((member, b"/etc/passwd"))


def encrypted(payload: bytes) -> bytes:
    """The flag of encryption in both headers."""
    data = bytearray(packed(("result.txt", payload)))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def lying(payload: bytes) -> bytes:
    """Says in both headers that it holds one byte."""
    data = bytearray(packed(("result.txt", payload)))
    data[22:26] = data[data.index(b"PK\x01\x02") + 24 :][:4] = (1).to_bytes(4, "little")
    return bytes(data)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "the result itself": lambda payload: packed(("result.txt", payload)),
    "a name that climbs": lambda payload: packed(("../../result.txt", payload)),
    "a thousand times larger": lambda _: packed(("result.txt", bytes(20_000_000))),
    "a zip in a zip": lambda payload: packed(("inner.zip", packed(("result.txt", payload)))),
    "two members": lambda payload: packed(("a.txt", payload), ("b.txt", payload)),
    "encrypted": encrypted,
    "a symbolic link": link,
    "another size than it says": lying,
}


@pytest.mark.parametrize("case", PACKED)
async def test_c21_packed(scene: Scene, case: str) -> None:
    """No bank has agreed on packing: sealed by the bank or not, no zip is opened; quarantined as it came, and nothing is applied."""
    payload = PACKED[case](scene.letter().payload)
    letter = Letter("result.zip", payload, scene.bank.resealed(payload) if scene.code == OWN else None)
    before = scene.house.totals()
    await scene.after(letter)
    assert scene.house.inbound() == [("quarantined", Code.FORMAT)]
    await oracle(scene, before, letter)


async def test_c20_a_part_is_missing(scene: Scene) -> None:
    """Parts 1 and 3 are applied as signed; the set stays open, nothing is paid again and no run closes, until part 2 is there."""
    rows = [scene.row(1, verdict=Verdict.CARD_LOST), *scene.taken.rows[1:]]
    parts = [
        scene.letter(rows=told, part=part, parts=3) for part, told in enumerate((rows[:1], rows[1:2], rows[2:]), 1)
    ]
    house = scene.house
    await scene.after(parts[0], parts[2])
    assert house.states() == ["failed", "batched", "paid", "paid"]
    order = InstructionRepay(instruction_id="I00001", reason="解除挂失")
    await house.send("instruction.repay", order)
    (refused,) = await house.told("instruction.repay_refused")
    assert refused.items[0].code == Code.POLICY
    assert await house.told("run.closed") == []
    await scene.after(parts[1])
    assert house.states() == ["failed", "paid", "paid", "paid"]
    assert len(await house.told("run.closed")) == 1
    house.clock.advance(24 * 3_600)
    await house.send("instruction.repay", order)
    assert house.states() == ["failed", "paid", "paid", "paid", "new"]
    await house.sound()


async def test_e19_a_key_of_the_banks_test_environment(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same bank by name, another environment's key: not pinned here, so nobody's."""
    other: DevPki = make(tmp_path_factory.mktemp("test-environment"), [ISO, OWN], datetime(2015, 1, 1, tzinfo=UTC))
    adapter = scene.house.partners[scene.code].adapter.code
    letter = Counterpart(scene.code, adapter, scene.house.wires[scene.code], other).letter(Kind.RESULT, scene.taken)
    before = scene.house.totals()
    await scene.after(letter)
    ((state, code),) = scene.house.inbound()
    assert (state, code in (Code.SIG, Code.CERT)) == ("quarantined", True)
    await oracle(scene, before, letter)


async def test_g12_a_marker_before_its_data(own_scene: Scene) -> None:
    """A file of no bytes that says "done" is one more Document: quarantined, and it makes nothing else complete or known."""
    letter = own_scene.letter()
    marker = Letter(f"{letter.name}.done", b"", own_scene.bank.resealed(b""))
    before = own_scene.house.totals()
    await own_scene.after(marker)
    assert own_scene.house.inbound() == [("quarantined", Code.TRUNCATED)]
    await oracle(own_scene, before, marker)
