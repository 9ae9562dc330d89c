"""One odd line of a run: refused with its own code and its bytes, or held with the code, or taken exactly as sent; the others do not suffer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.codec.text import unencodable
from gateway.core import contracts
from gateway.core.contracts import OnBadLine, RunChunk
from gateway.core.errors import Code
from gateway.core.ports import Message
from gateway.edge.atrest import AtRest
from gateway.edge.ledger import private
from gateway.sandbox.people import card
from tests.corpus.payer_lines import LINES, LineCase, Treatment, line
from tests.flow.conftest import MakeHouse
from tests.flow.house import OWN, PAYER, House, bank, header, orders

BASE: dict[str, Any] = {
    "id": "I00001",
    "person": {"name": "张三", "id_number": "11010519491231002X"},
    "bank": OWN,
    "account": card("990002", 19, 1),
    "amount": 100_001,
}
GOOD = orders(2, OWN, first=2)


def named(case: LineCase) -> str:
    """The case's own name."""
    return case.name


def run_of(house: House, raw: bytes, *, on_bad_line: OnBadLine, amount: int) -> tuple[Message, Message]:
    """Header and chunk of a run whose first line is ``raw``; the declared total is that of all its lines."""
    lines = [msgspec.structs.replace(GOOD[0], amount=amount), *GOOD]
    good = b",".join(msgspec.json.encode(each) for each in GOOD)
    chunk = house.message("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=lines[1:]))
    whole = chunk.body.replace(good, raw + b"," + good, 1)
    assert whole != chunk.body
    told = house.message("run.submitted", header(lines, on_bad_line=on_bad_line))
    return told, msgspec.structs.replace(chunk, body=whole)


def readable(case: LineCase) -> int:
    """The amount that can be made out of a case's line, as the declared total counts it."""
    if case.reads >= 0:
        return case.reads
    if case.field != "amount":
        return int(BASE["amount"])
    return int(case.text) if case.text.isdecimal() and case.text.isascii() and len(case.text) < 12 else 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'"urgent":true,', Code.SCHEMA),
        (b'"run_id":"R2",', Code.FORMAT),
        (b'"instructions":[],', Code.FORMAT),
        (b'"chunk":0,', Code.FORMAT),
    ],
)
async def test_what_is_wrong_around_the_lines(house: House, text: bytes, code: str) -> None:
    """A chunk with a bad line is read line by line, and its own keys are held to the same rules all the same (A6, A11)."""
    _, chunk = run_of(
        house, line(BASE, LineCase("", "amount", "0", Treatment.REFUSED)), on_bad_line=OnBadLine.REJECT_LINE, amount=1
    )
    spoilt = msgspec.structs.replace(chunk, body=chunk.body.replace(b'"data":{', b'"data":{' + text, 1))
    await house.publish(spoilt)
    ((letter, kept),) = await house.letters()
    assert letter.reason.startswith(code)
    assert kept == spoilt.body
    await house.untouched()


@pytest.mark.parametrize("on_bad_line", list(OnBadLine))
@pytest.mark.parametrize("case", LINES, ids=named)
async def test_an_odd_line(house: House, case: LineCase, on_bad_line: OnBadLine) -> None:
    """Refused with its own code and its bytes kept, or held with the code, or taken exactly as sent; the other lines do not suffer from it."""
    raw = line(BASE, case)
    for message in run_of(house, raw, on_bad_line=on_bad_line, amount=readable(case)):
        await house.publish(message)
    if case.treatment is Treatment.SPOILS:
        ((letter, kept),) = await house.letters()
        assert letter.reason.startswith(case.code)
        assert raw in kept
        await house.untouched()
        return
    assert await house.letters() == []
    await house.intake.step()
    state = (await house.ledger.progress("R1", PAYER))[0]
    if case.treatment is Treatment.REFUSED:
        await _refused(house, case, raw, state, on_bad_line)
    else:
        assert state == "accepted"
        held = case.treatment is Treatment.HELD
        assert house.states() == ["held" if held else "ready", "ready", "ready"]
        assert [reason for (reason,) in house.rows("SELECT reason FROM hold")] == ([case.code] if held else [])
        _as_sent(house, msgspec.json.decode(raw))
        (accepted,) = await house.told("run.accepted")
        warned = [case.code] if case.treatment is Treatment.WARNED else []
        assert [warning.code for warning in accepted.warnings] == warned
    await house.sound()


async def _refused(house: House, case: LineCase, raw: bytes, state: str, on_bad_line: OnBadLine) -> None:
    ((code, kept, what),) = house.rows("SELECT code, raw, what FROM line_error WHERE fatal")
    assert (code, private.open_raw(AtRest(bytes(32)), kept)) == (
        case.code,
        raw if code not in _CHECKED else _again(raw),
    )
    assert "张" not in what
    if on_bad_line is OnBadLine.REJECT_LINE:
        assert state == "accepted"
        assert house.states() == ["ready", "ready"]
        (refused,) = await house.told("instruction.rejected")
        assert [item.code for item in refused.items] == [case.code]
        assert [event.rejected for event in await house.told("run.accepted")] == [1]
    else:
        assert state == "rejected"
        (rejected,) = await house.told("run.rejected")
        assert (rejected.code, [error.code for error in rejected.errors]) == (case.code, [case.code])
        await house.untouched()


#: Faults found after decoding: what is kept is our own encoding of the same line.
_CHECKED = (Code.POLICY, Code.SIZE, Code.NAME)


def _again(raw: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(raw, type=contracts.Instruction))


def _as_sent(house: House, sent: dict[str, Any]) -> None:
    """What stands in the ledger is what was sent, character by character."""
    ((name, amount, purpose, sealed),) = house.rows(
        "SELECT name, amount, purpose, sealed FROM instruction WHERE id = 'I00001'"
    )
    hidden = private.unseal(AtRest(bytes(32)), sealed)
    person = sent["person"]
    assert (name, amount, purpose) == (person["name"], sent["amount"], sent.get("purpose", ""))
    assert (hidden.account, hidden.person_name) == (sent["account"], person["name"])
    assert hidden.person_id_number == person["id_number"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("𠮷野", Code.CHARSET),
        ("㛃", Code.CHARSET),
        ("张⽟", Code.CHARSET),
        ("艾力•买买提", Code.CHARSET),
        ("艾力·买买提", ""),
    ],
)
async def test_a21_a_bank_whose_charset_is_smaller(make_house: MakeHouse, name: str, code: str) -> None:
    """What GBK lacks holds the line for a person; nothing is ever replaced by a question mark."""
    house = make_house()
    partner = house.partners[OWN]
    adapter = msgspec.structs.replace(partner.adapter, charset="gbk", encodable=lambda text: unencodable(text, "gbk"))
    house.partners[OWN] = msgspec.structs.replace(partner, adapter=adapter)
    person = msgspec.structs.replace(GOOD[0].person, name=name)
    assert await house.submit([msgspec.structs.replace(GOOD[0], person=person)]) == "accepted"
    assert house.rows("SELECT reason FROM hold") == ([(code,)] if code else [])
    assert house.rows("SELECT name FROM instruction") == [(name,)]


async def test_the_insured_persons_name_counts_too(house: House) -> None:
    """Where somebody else is paid, a strange name of the insured person holds the line as well, and a control character refuses it."""
    payee = contracts.Party(name="李四", id_number="11010519491231002X")
    for name, state in (("张\u200b三", "held"), ("张\x1f三", None)):
        person = msgspec.structs.replace(GOOD[0].person, name=name)
        odd = msgspec.structs.replace(GOOD[0], id=f"P{ord(name[1])}", person=person, payee=payee)
        found = await house.submit([odd], f"R{ord(name[1])}")
        assert found == ("accepted" if state else "rejected")
    assert house.states() == ["held"]


async def test_a_bank_with_smaller_fields(make_house: MakeHouse) -> None:
    """A bank's own smaller limits count: name, purpose and account are refused where the line would not fit."""
    from tests.flow.house import limits

    small = limits(OWN, name_bytes_max=8, purpose_bytes_max=8, account_chars_max=19)
    house = make_house(bank(OWN, limits=small))
    good = msgspec.structs.replace(GOOD[0], person=msgspec.structs.replace(GOOD[0].person, name="欧阳娜娜"))
    assert await house.submit([good]) == "accepted"
    for number, change in enumerate(({"purpose": "养老金六月"}, {"account": "1" * 20})):
        assert (
            await house.submit([msgspec.structs.replace(good, id=f"X{number}", **change)], f"S{number}") == "rejected"
        )
    assert [event.code for event in await house.told("run.rejected")] == [Code.SIZE] * 2
