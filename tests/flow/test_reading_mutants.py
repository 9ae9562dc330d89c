"""Any mutation of a good message is either what another strict reader makes of the same bytes, or refused with a code; nothing in between."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core import contracts
from gateway.core.contracts import RunChunk
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.partner import Partner
from gateway.core.ports import Message
from gateway.edge.crypto.pki import DevPki
from gateway.flow import reading
from tests.flow.house import ADAPTERS, ISO, OWN, PAYER, TODAY, House, bank, header, orders

LINES = orders(4, OWN)
PARTNERS = {code: Partner(bank=bank(code), adapter=ADAPTERS[bank(code).adapter]) for code in (ISO, OWN)}
GOOD = contracts.encode(
    "run.chunk",
    RunChunk(run_id="R1", chunk=1, instructions=LINES),
    id="m1",
    source=PAYER,
    time=dt.datetime(2015, 6, 10, 1, 0, tzinfo=dt.UTC),
)
CODES = set(map(str, Code))
TOKENS = [
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\",
        b"\\u0000",
        b"\\ud83d",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\n",
        b" ",
        b"\xc2\x85",
    ),
    *(
        b"null",
        b"true",
        b"NaN",
        b"1e3",
        b"-1",
        b"0",
        b"00",
        b"9" * 30,
        b"1.0",
        b'"amount":1,',
        b'"data":{},',
        b'"run_id":"R2",',
        b'"id":"I00001",',
    ),
    *(
        b'"bank":"BANKA"',
        b'"payee":null,',
        b'"currency":"USD",',
        b'"pay_date":"2015-06-11",',
        "\u202e".encode(),
        "张".encode(),
    ),
]


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """The good message after one to three small accidents."""
    data = GOOD
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["cut", "drop", "insert", "flip", "twice", "swap", "replace"])):
            case "cut":
                data = data[:at]
            case "drop":
                data = data[:at] + data[at + draw(st.integers(1, 40)) :]
            case "insert":
                data = data[:at] + draw(st.sampled_from(TOKENS)) + data[at:]
            case "flip" if at < len(data):
                data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
            case "twice":
                piece = data[at : at + draw(st.integers(1, 200))]
                data = data[:at] + piece + data[at:]
            case "swap":
                other = draw(st.integers(0, len(data)))
                low, high = sorted((at, other))
                data = (
                    data[:low]
                    + data[high : high + 20]
                    + data[low + 20 : high]
                    + data[low : low + 20]
                    + data[high + 20 :]
                )
            case "replace":
                token = draw(st.sampled_from(TOKENS))
                data = data[:at] + token + data[at + len(token) :]
    return data


class Twice(dict[str, Any]):
    """A JSON object that names a key twice."""


def strictly(data: bytes) -> dict[str, Any]:
    """The same bytes, read by the standard library at its strictest. Raises ValueError."""

    def marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(pairs) if len(dict(pairs)) == len(pairs) else Twice(pairs)

    def never(text: str) -> NoReturn:
        raise ValueError(text)

    found = json.loads(data.decode(), object_pairs_hook=marked, parse_constant=never)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def doubled(value: Any) -> bool:
    """Whether a key stands twice in it, however deep."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, Twice) or any(doubled(each) for each in inside)


def flat(line: dict[str, Any]) -> dict[str, Any]:
    """A JSON line with every default written out."""
    return msgspec.to_builtins(msgspec.convert(line, contracts.Instruction))  # type: ignore[no-any-return]  # a struct becomes a dict


@settings(max_examples=1_500, suppress_health_check=[HealthCheck.too_slow])
@given(mutants())
def test_what_is_read_is_what_stands_there(data: bytes) -> None:
    """Every line that is taken, and every one that is not, is accounted for by another reader of the very same bytes."""
    try:
        found = reading.envelope(Message(message_id="m1", body=data))
        read = reading.chunk(bytes(found.data), PARTNERS, TODAY)
    except (Malformed, Refused):
        return
    told = strictly(data)
    assert (found.id, found.source, found.type) == (told["id"], told["source"], told["type"])
    inner = told["data"]
    assert not isinstance(told, Twice)
    assert not isinstance(inner, Twice)
    assert (read.run_id, read.no) == (inner["run_id"], inner["chunk"])
    assert set(inner) == {"run_id", "chunk", "instructions"}
    lines = {line.ordinal: line.instruction for line in read.lines}
    bad = {line.ordinal: line for line in read.bad if line.fatal}
    first = (read.no - 1) * contracts.CHUNK_MAX + 1  # a mutant of the chunk's number is a chunk too
    assert sorted([*lines, *bad]) == list(range(first, first + len(inner["instructions"])))
    for ordinal, instruction in lines.items():
        stands = inner["instructions"][ordinal - first]
        assert not doubled(stands)
        assert msgspec.to_builtins(instruction) == flat(stands)
        assert set(stands) <= set(contracts.Instruction.__struct_fields__)
    assert all(line.code in CODES for line in bad.values())


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(mutants(), st.sampled_from(["run.submitted", "instruction.submitted", "run.cancel", "instruction.repay"]))
def test_under_another_name_it_is_refused(data: bytes, name: str) -> None:
    """A chunk that claims to be another message never passes for one."""
    renamed = data.replace(b"run.chunk", name.encode())
    if renamed == data:
        return
    with pytest.raises((Malformed, Refused)):
        reading.data(reading.envelope(Message(message_id="m1", body=renamed)))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(mutants(), min_size=1, max_size=3))
async def test_through_the_ledger(quick_folder: Path, keys: DevPki, template: Path, bodies: list[bytes]) -> None:
    """Through intake and ledger: accepted with exactly the declared totals, or rejected, or still waiting; bytes kept, books sound."""
    with TemporaryDirectory(dir=quick_folder) as folder:
        house = House(Path(folder), keys, template, [bank(ISO), bank(OWN)])
        try:
            await _published(house, bodies)
        finally:
            await house.close()


async def _published(house: House, bodies: list[bytes]) -> None:
    await house.send("run.submitted", header(LINES))
    for number, body in enumerate([*bodies, GOOD]):
        renamed = body.replace(b'"id":"m1"', b'"id":"m%d"' % number, 1)
        await house.publish(Message(message_id=f"m{number}", body=renamed), "run.chunk")
        for letter, kept in await house.letters():
            assert letter.reason.partition(" ")[0].rstrip(":") in CODES
            assert kept == renamed
    await house.intake.step()
    state, parts = await house.ledger.progress("R1", PAYER)
    if state == "accepted":
        assert parts["ordered"] == len(LINES)
        ordered = house.rows("SELECT SUM(minor) FROM control WHERE view = 'own' AND part = 'ordered'")
        assert ordered == [(sum(line.amount for line in LINES),)]
    else:
        assert state in ("rejected", "receiving")
        assert house.totals() == []
    await house.sound()
