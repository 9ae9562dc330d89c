"""Banks that misbehave on request."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.sandbox.runner import Answers, Faults
from tests.sandbox.bureau import (
    Folder,
    Ring,
    booked,
    cms,
    group,
    inquiry,
    pain001,
    pays,
    records,
    standard,
    told_iso,
    told_standard,
    until,
    wrapped,
)
from tests.sandbox.conftest import Live, StartBank

QUIET = Answers(receipts=False)


def _sent(live: Live, ring: Ring, count: int = 10, reference: str = "R0001", first: int = 1) -> list[str]:
    """Send a file and return what was paid for, reference by reference."""
    payments = pays(count, first)
    if live.code == "BANKA":
        live.folder.put(f"{reference}.xml", wrapped(pain001(payments, reference), ring.bureau, reference=reference))
    else:
        payload = standard(payments, reference)
        live.folder.put(f"{reference}.txt", payload, cms(payload, ring.bureau))
    return [pay.reference for pay in payments]


@pytest.mark.parametrize("adapter", ["iso20022", "standard_file"])
def test_split_and_out_of_order(start_bank: StartBank, ring: Ring, adapter: str) -> None:
    """Three parts, the last one first, together every line once."""
    live = start_bank(adapter, answers=Answers(receipts=False, parts=3, order="reverse"))
    sent = _sent(live, ring)
    parts = [live.folder.read(name) for name in live.folder.wait(3)]
    told = told_iso if adapter == "iso20022" else told_standard
    assert [[row.reference for row in told(part)] for part in parts] == [sent[6:], sent[3:6], sent[:3]]
    if adapter == "standard_file":
        assert [next(records(part))[14:16] for part in parts] == [["3", "3"], ["2", "3"], ["1", "3"]]


@pytest.mark.parametrize("adapter", ["iso20022", "standard_file"])
def test_pending_first(start_bank: StartBank, ring: Ring, adapter: str) -> None:
    """First a word that says nothing about the money, then the result."""
    live = start_bank(adapter, answers=Answers(receipts=False, pending_first=True))
    _sent(live, ring)
    told = told_iso if adapter == "iso20022" else told_standard
    words = [{row.status for row in told(live.folder.read(name))} for name in live.folder.wait(2)]
    assert words == ([{"ACSP"}, {"ACCC"}] if adapter == "iso20022" else [{"0001"}, {"0000"}])


def test_repeated(start_bank: StartBank, ring: Ring) -> None:
    """The result comes twice under the same name with the same bytes."""
    live = start_bank(answers=Answers(receipts=False, repeat=2))
    _sent(live, ring)
    (name,) = live.folder.wait(1)
    first = live.folder.take(name)
    assert live.folder.wait(1) == [name]
    assert live.folder.take(name) == first


@pytest.mark.parametrize("adapter", ["iso20022", "standard_file"])
@pytest.mark.parametrize(
    ("faults", "changed"),
    [
        (Faults(wrong_amount=2), lambda told: [row.minor for row in told[:3]] == [100_002, 100_003, 100_003]),
        (Faults(unknown_code=1), lambda told: told[0].code in ("ZZ99", "9999") and told[1].code != told[0].code),
        (Faults(foreign_reference=2), lambda told: told[1].reference.startswith("99999") and told[2].reference == "3"),
    ],
    ids=["amount", "code", "reference"],
)
def test_wrong_lines(
    start_bank: StartBank, ring: Ring, adapter: str, faults: Faults, changed: Callable[[object], bool]
) -> None:
    """Lines that lie, in a file that is well sealed."""
    live = start_bank(adapter, answers=QUIET, faults=faults)
    _sent(live, ring)
    (name,) = live.folder.wait(1)
    told = (told_iso if adapter == "iso20022" else told_standard)(live.folder.read(name))
    assert len(told) == 10
    assert changed(told)


@pytest.mark.parametrize("fault", ["none", "flipped", "foreign"])
def test_wrong_seals(
    start_bank: StartBank, ring: Ring, fault: str, tmp_path: Path, outside_program: Callable[[str], str]
) -> None:
    """openssl does not accept what a bank with a wrong seal sends, and accepts the correction that follows."""
    faults = Faults(seal=fault, then_correct=True)  # type: ignore[arg-type]  # one of the literals
    live = start_bank("standard_file", answers=QUIET, faults=faults)
    _sent(live, ring)
    wrong, right = live.folder.wait(2)
    assert [_verifies(outside_program("openssl"), live.folder, name, ring) for name in (wrong, right)] == [False, True]


def _verifies(program: str, folder: Folder, name: str, ring: Ring) -> bool:
    path = folder.path / "out" / name
    cert = str(ring.bank.cert_path)
    command = [program, "cms", "-verify", "-binary", "-inform", "DER", "-in", f"{path}.p7s", "-content", str(path)]
    command += ["-CAfile", cert, "-certfile", cert, "-purpose", "any", "-out", "/dev/null"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_truncated_then_correct(start_bank: StartBank, ring: Ring) -> None:
    """A cut result, then the whole one."""
    live = start_bank(answers=QUIET, faults=Faults(truncate_bytes=100, then_correct=True))
    _sent(live, ring)
    cut, whole = (live.folder.read(name) for name in live.folder.wait(2))
    assert not cut.endswith(b"Message>")
    assert len(told_iso(whole)) == 10


def test_contradiction(start_bank: StartBank, ring: Ring) -> None:
    """A later result turns the first two lines around."""
    live = start_bank(answers=QUIET, faults=Faults(contradict=2))
    _sent(live, ring)
    first, second = (told_iso(live.folder.read(name)) for name in live.folder.wait(2))
    assert {row.status for row in first} == {"ACCC"}
    assert [(row.reference, row.status) for row in second] == [("1", "RJCT"), ("2", "RJCT")]


def test_unknown_original_and_wrong_totals(start_bank: StartBank, ring: Ring) -> None:
    """A result for a file that was never sent; a trailer that is a fen off."""
    live = start_bank(answers=QUIET, faults=Faults(unknown_original=True))
    _sent(live, ring)
    (name,) = live.folder.wait(1)
    assert group(live.folder.read(name))[0] == "NEVERSENT"
    other = start_bank("standard_file", name="other", answers=QUIET, faults=Faults(wrong_totals=True))
    _sent(other, ring)
    (name,) = other.folder.wait(1)
    rows = list(records(other.folder.read(name)))
    assert int(rows[-1][2]) == int(rows[0][18]) + 1


def test_lost_file_is_not_found(start_bank: StartBank, ring: Ring) -> None:
    """The first file vanishes unbooked and an inquiry does not find it; sent again, it is paid once."""
    live = start_bank("standard_file", answers=QUIET, faults=Faults(drop="file", documents=(1,)))
    _sent(live, ring)
    booked(live.running, live.code)
    question = inquiry("R0001")
    live.folder.put("q1.txt", question, cms(question, ring.bureau))
    (name,) = live.folder.wait(1)
    header = next(records(live.folder.take(name)))
    assert (header[3], header[8], header[11], header[12]) == ("ANS", "R0001", "Q0001", "6001")
    assert live.books()["paid"]["count"] == 0
    _sent(live, ring)
    live.folder.wait(1)
    assert live.books()["paid"]["count"] == 10
    assert live.books()["doubles"] == 0


def test_dropped_answers_are_told_on_inquiry(start_bank: StartBank, ring: Ring) -> None:
    """Booked and never spoken of: only an inquiry brings the result to light."""
    live = start_bank("standard_file", faults=Faults(drop="answers"))
    sent = _sent(live, ring)
    booked(live.running, live.code)
    assert live.folder.names() == []
    question = inquiry("R0001", (2, 3))
    live.folder.put("q1.txt", question, cms(question, ring.bureau))
    (name,) = live.folder.wait(1)
    answer = live.folder.take(name)
    assert next(records(answer))[12] == "0000"
    assert [(row.reference, row.status) for row in told_standard(answer)] == [(sent[1], "0000"), (sent[2], "0000")]


def test_inquiry_while_working(start_bank: StartBank, ring: Ring) -> None:
    """While results are held, an inquiry is answered with lines that are being worked on."""
    live = start_bank("standard_file", answers=QUIET, hold_results=True)
    _sent(live, ring)
    booked(live.running, live.code)
    question = inquiry("R0001")
    live.folder.put("q1.txt", question, cms(question, ring.bureau))
    (name,) = live.folder.wait(1)
    answer = live.folder.take(name)
    assert next(records(answer))[12] == "0000"
    assert {row.status for row in told_standard(answer)} == {"0001"}
    live.running.release(live.code)
    (name,) = live.folder.wait(1)
    assert len(told_standard(live.folder.read(name))) == 10


def test_refused_after_receipt(start_bank: StartBank, ring: Ring) -> None:
    """Receipted, then refused as a whole because the account lacks the money; nothing is booked."""
    live = start_bank(faults=Faults(file_refusal="FUNDS", documents=(1,)))
    _sent(live, ring)
    receipt, refusal = (live.folder.take(name) for name in live.folder.wait(2))
    assert group(receipt)[1:] == ("ACTC", "")
    assert group(refusal)[1:] == ("RJCT", "AM04")
    assert live.books()["paid"]["count"] == 0


def test_slow(start_bank: StartBank, ring: Ring) -> None:
    """A slow bank leaves the file lying for a while."""
    live = start_bank(answers=QUIET, faults=Faults(slow_s=0.6))
    _sent(live, ring)
    with pytest.raises(AssertionError):
        until(lambda: True if live.books()["documents"] else None, 0.3)
    assert len(live.folder.wait(1)) == 1


def test_returns(start_bank: StartBank, ring: Ring, tmp_path: Path) -> None:
    """Credited, told as credited, and then the money comes back with its reason."""
    account = pays(10)[4].account
    text = f'{{"accounts": {{"{account}": {{"verdict": "PAID", "returns": "ACCOUNT_CLOSED"}}}}}}'
    (tmp_path / "scenario.json").write_text(text)
    settings = {"answers": QUIET, "scenario": str(tmp_path / "scenario.json")}
    for live in (start_bank(**settings), start_bank("standard_file", name="other", **settings)):
        _sent(live, ring)
        result, back = (live.folder.read(name) for name in live.folder.wait(2))
        assert live.books()["returned"] == {"count": 1, "minor": 100_005}
        assert live.books()["paid"]["count"] == 9
        if live.code == "BANKA":
            assert b"<MsgDefIdr>camt.054.001.08</MsgDefIdr>" in back
            assert b"<EndToEndId>5</EndToEndId>" in back
            assert b"<Cd>AC04</Cd>" in back
        else:
            assert [(row.reference, row.status, row.minor) for row in told_standard(back)] == [("5", "1005", 100_005)]
            assert next(records(back))[3] == "RET"
        assert len((told_iso if live.code == "BANKA" else told_standard)(result)) == 10
