"""What a sandbox bank says to a file that it takes: receipt, results, refusals, returns, in both formats."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.sandbox.runner import Answers
from tests.sandbox.bureau import (
    Ring,
    Told,
    cms,
    group,
    pain001,
    pays,
    records,
    standard,
    told_iso,
    told_standard,
    wrapped,
)
from tests.sandbox.conftest import StartBank


def test_iso_pays_and_tells(start_bank: StartBank, ring: Ring) -> None:
    """A signed pain.001 is receipted, booked and answered line by line."""
    live = start_bank()
    payments = pays(2_500)
    live.folder.put("f1.xml", wrapped(pain001(payments), ring.bureau))
    receipt, result = map(live.folder.read, live.folder.wait(2))
    assert group(receipt) == ("R0001", "ACTC", "")
    assert told_iso(receipt) == []
    assert group(result) == ("R0001", "ACCC", "")
    assert told_iso(result) == [Told(pay.reference, "ACCC", "", pay.minor) for pay in payments]
    books = live.books()
    assert books["paid"] == {"count": 2_500, "minor": sum(pay.minor for pay in payments)}
    assert books["doubles"] == 0


def test_standard_pays_and_tells(start_bank: StartBank, ring: Ring) -> None:
    """A sealed standard file is receipted, booked and answered line by line."""
    live = start_bank("standard_file")
    payments = pays(2_500)
    payload = standard(payments)
    live.folder.put("f1.txt", payload, cms(payload, ring.bureau))
    receipt, result = map(live.folder.read, live.folder.wait(2))
    assert next(records(receipt))[12] == "0000"
    assert told_standard(result) == [Told(pay.reference, "0000", "0000", pay.minor) for pay in payments]
    assert live.books()["paid"] == {"count": 2_500, "minor": sum(pay.minor for pay in payments)}


def test_scenario_fails_and_mends(start_bank: StartBank, ring: Ring, tmp_path: Path) -> None:
    """The scenario's accounts fail with its words; a second file pays those that were mended."""
    first = pays(5)
    story = {
        first[0].account: {"verdict": "CARD_LOST"},
        first[1].account: {"verdict": "CARD_LOST", "mends_after_first": True},
        first[2].account: {"verdict": "NAME_MISMATCH", "bank_name": "李四"},
        first[3].account: {"verdict": "CARD_REPLACING", "new_account": "9900019999999999999", "mend": "a note"},
    }
    (tmp_path / "scenario.json").write_text(json.dumps({"accounts": story}))
    live = start_bank(scenario=str(tmp_path / "scenario.json"), answers=Answers(receipts=False))
    live.folder.put("f1.xml", wrapped(pain001(first), ring.bureau))
    (name,) = live.folder.wait(1)
    said = told_iso(live.folder.take(name))
    assert [(row.status, row.code) for row in said] == [
        ("RJCT", "AC06"),
        ("RJCT", "AC06"),
        ("RJCT", "BE01"),
        ("RJCT", "AC15"),
        ("ACCC", ""),
    ]
    again = [
        first[0]._replace(reference="11"),
        first[1]._replace(reference="12"),
        first[2]._replace(reference="13", name="李四"),
        first[3]._replace(reference="14", account="9900019999999999999"),
    ]
    live.folder.put("f2.xml", wrapped(pain001(again, "R0002"), ring.bureau, reference="R0002"))
    (name,) = live.folder.wait(1)
    assert [row.status for row in told_iso(live.folder.take(name))] == ["RJCT", "ACCC", "ACCC", "ACCC"]
    assert live.books()["failed"]["by_verdict"] == {"CARD_LOST": 3, "CARD_REPLACING": 1, "NAME_MISMATCH": 1}
