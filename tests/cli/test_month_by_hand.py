"""The main job by hand: submit, two people, serve, and every command that tells what became of it. As its users do it, by subprocess."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Ran, run_in
from tests.cli.office import DEBIT, Office, header, open_office, order, secret, total

COUNT = 50
FAILING = 4  # number of the order whose account is closed


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An office with its people and nothing submitted; tests copy nothing from it but use runs of their own."""
    found = open_office(tmp_path_factory.mktemp("office"))
    found.add_people()
    return found


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An office where run R1 of fifty was submitted, released, sent, and its results applied; one payment failed."""
    office = open_office(tmp_path_factory.mktemp("paid"))
    office.add_people()
    office.jsonl("r1.jsonl", COUNT)
    done = office.good("submit", "r1.jsonl", *header("R1"))
    assert (done["state"], done["count"], done["minor"]) == ("accepted", COUNT, total(COUNT))
    assert {window["bank"] for window in done["windows"]} == {"BANKA", "BANKB"}
    office.good("release", "propose", "R1", "--confirm", f"{COUNT}:{total(COUNT)}", who="wang")
    office.good("release", "approve", "R1", who="li")
    with office.banks({order(FAILING)["account"]: {"verdict": "ACCOUNT_CLOSED"}}), office.serving():
        office.until(lambda: office.good("status", "R1")["state"] == "closed")
    return office


def test_status_tells_where_every_fen_is(paid: Office) -> None:
    """The conservation line adds up by bank, and every document has its state."""
    found = paid.good("status", "R1")
    assert found["conserved"]
    assert sum(line["paid"]["count"] for line in found["conservation"]) == COUNT - 1
    assert sum(line["failed"]["count"] for line in found["conservation"]) == 1
    assert {d["bank"] for d in found["documents"]} == {"BANKA", "BANKB"}
    shown = paid("status", "R1")
    assert shown.code == 0
    assert "run R1 of PENSION: closed" in shown.out
    assert [run["run_id"] for run in paid.good("status")["runs"]] == ["R1"]


def test_show_tells_one_payments_whole_life_and_no_account(paid: Office) -> None:
    """Order, two people, file, seal, receipt, result: in order of time, with account, name and id number masked."""
    failing = order(FAILING)
    done = paid("show", failing["id"])
    assert done.code == 0
    for word in ("release.proposed", "wang", "release.approved", "li", "filed", "sealed", "receipt", "ACCOUNT_CLOSED"):
        assert word in done.out
    for private in (failing["account"], failing["person"]["id_number"], failing["person"]["name"]):
        assert private not in done.out + json.dumps(paid.good("show", failing["id"]), ensure_ascii=False)
    moments = [moment["at_ms"] for moment in paid.good("show", failing["id"])["timeline"]]
    assert moments == sorted(moments)
    assert paid("show", "nobody").code == 2


def test_report_tells_success_by_bank_district_and_verdict(paid: Office) -> None:
    """Figures of the JSON add up to the run; the text tells the reason in both languages."""
    found = paid.good("report", "R1")
    whole = found["success"]["total"]
    assert (whole["ordered"], whole["paid_first"], whole["paid_later"], whole["missing"]) == (COUNT, COUNT - 1, 0, 1)
    for by in ("by_bank", "by_district"):
        assert sum(one["ordered"] for one in found["success"][by]) == COUNT
    assert [wait["verdict"] for wait in found["waits"]] == ["ACCOUNT_CLOSED"]
    assert "已销户 account closed" in paid("report", "R1").out


def test_the_report_page_has_a_chart_and_no_script(paid: Office) -> None:
    """One well-formed page with a bar for each bank, nothing that runs and nothing that is fetched."""
    assert paid("report", "R1", "--html", "r.html").code == 0
    text = (paid.folder / "r.html").read_text()
    assert "<script" not in text
    assert "src=" not in text
    assert order(FAILING)["account"] not in text
    chart = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    bars = chart.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 6
    assert "甲银行" in text
    assert "ACCOUNT_CLOSED" in text


def test_the_report_csv_is_safe_in_a_spreadsheet(paid: Office) -> None:
    """Every figure is there, and no cell begins like a formula."""
    assert paid("report", "R1", "--csv", "r.csv").code == 0
    rows = list(csv.DictReader(io.StringIO((paid.folder / "r.csv").read_bytes().decode("utf-8-sig"))))
    assert sum(int(row["count"]) for row in rows if row["part"] == "first try") == COUNT
    assert [row["instruction"] for row in rows if row["part"] == "waiting"] == [order(FAILING)["id"]]
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


def test_a_report_needs_no_file(paid: Office) -> None:
    """Without a name, or to -, it goes to standard output; but only one document does."""
    assert paid("report", "R1", "--csv", "r2.csv").code == 0
    written = (paid.folder / "r2.csv").read_bytes().decode()
    assert paid("report", "R1", "--csv").out == paid("report", "R1", "--csv", "-").out == written
    assert paid("report", "R1", "--html").out.startswith("<!")
    assert paid("report", "R1", "--html", "-", "--csv", "-").code == 2
    assert paid("report", "R1", "--csv", "--json").json["error"]["where"] == "--html, --csv, --json"


def test_check_and_audit_find_nothing_wrong(paid: Office) -> None:
    """All adds up, the chain holds, and the servers are reached."""
    assert paid.good("check")["ok"]
    assert paid.good("check", "--quick")["ledger"] == "reached"
    assert paid.good("audit", "verify")["acts"] > 5
    assert paid.good("parked", "list") == {"parked": []}


def test_check_finds_a_fen_that_is_missing(paid: Office, tmp_path: Path) -> None:
    """Where somebody changed an amount behind our back, check ends with 1 and names the bank; a broken chain is 4 for audit."""
    import sqlite3

    shutil.copytree(paid.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("exchange", "state", "banks"))
    with sqlite3.connect(tmp_path / "copy" / "data" / "ledger.db") as base:
        base.execute("UPDATE control SET minor = minor - 1 WHERE part = 'paid' AND bank = 'BANKA'")
        base.execute("UPDATE act SET actor = 'somebody' WHERE seq = 3")
    done = run_in(tmp_path / "copy", "check", "--json")
    assert done.code == 1
    assert any("BANKA" in fault for fault in done.json["faults"])
    assert any("Act 3" in fault for fault in done.json["faults"])
    assert run_in(tmp_path / "copy", "audit", "verify").code == 4
    assert run_in(tmp_path / "copy", "status", "R1").code == 1


# ---------------------------------------------------------------------------------------------------------------- two people


def test_a_file_submitted_twice_is_one_run(office: Office) -> None:
    """The same file again tells the same outcome and changes nothing; another file under its id is a conflict."""
    office.jsonl("twice.jsonl", 5, "T")
    words = ("submit", "twice.jsonl", *header("TWICE", period="2015-01"))
    assert office.good(*words) == office.good(*words)
    assert [run["run_id"] for run in office.good("status", "--most", "100")["runs"]].count("TWICE") == 1
    office.jsonl("twice.jsonl", 6, "T")
    other = office(*words, "--json")
    assert (other.code, other.json["error"]["code"]) == (2, "CONFLICT")


def test_a_release_takes_the_right_figures_and_two_people(office: Office) -> None:
    """Wrong figures, the maker as checker, a wrong secret, a missing role: each is refused, and the run stays accepted."""
    office.jsonl("two.jsonl", 3, "W")
    office.good("submit", "two.jsonl", *header("TWO", period="2015-02"))
    confirm = f"3:{total(3)}"
    wrong = office("release", "propose", "TWO", "--confirm", "3:1", "--json", who="zhao")
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "TOTALS")
    nobody = office("release", "propose", "TWO", "--json", who="zhao")
    assert (nobody.code, nobody.json["error"]["where"]) == (2, "--confirm")
    checker = office("release", "propose", "TWO", "--confirm", confirm, "--json", who="li")
    assert (checker.code, checker.json["error"]["code"]) == (2, "AUTH")
    office.good("release", "propose", "TWO", "--confirm", confirm, who="zhao")
    assert office.good("release", "list")["proposed"][0]["maker"] == "zhao"
    own = office("release", "approve", "TWO", "--json", who="zhao")
    assert (own.code, own.json["error"]["code"]) == (2, "AUTH")
    stolen = run_in(office.folder, *("release", "approve", "TWO", "--as", "li", "--json"), SHEYIN_ACTOR_SECRET="guess")
    assert (stolen.code, stolen.json["error"]["code"]) == (2, "AUTH")
    assert office.good("status", "TWO")["state"] == "accepted"
    office.good("release", "decline", "TWO", who="li")
    assert office.good("release", "list")["proposed"] == []
    office.good("release", "propose", "TWO", "--confirm", confirm, who="zhao")
    office.good("release", "withdraw", "TWO", who="zhao")
    office.good("release", "propose", "TWO", "--confirm", confirm, who="wang")
    shown = office("release", "approve", "TWO", who="zhao")
    assert "proposed by wang" in shown.out
    assert office.good("status", "TWO")["state"] == "released"


def test_a_second_regular_run_is_held_for_two_people(office: Office) -> None:
    """Exit code 1 and the reason; a maker and a checker accept it, and its lines that repeat others are held in turn."""
    office.jsonl("first.jsonl", 3, "F")
    office.jsonl("second.jsonl", 3, "S")
    office.good("submit", "first.jsonl", *header("FIRST", period="2015-03"))
    held = office("submit", "second.jsonl", *header("SECOND", period="2015-03"), "--json")
    assert (held.code, held.json["state"], held.json["code"]) == (1, "held", "SUSPECT_DUPLICATE")
    assert "SECOND" in [one["run_id"] for one in office.good("held", "list")["held"]]
    assert office.good("held", "propose", "SECOND", who="wang")["kind"] == "accept_held_run"
    assert office.good("held", "approve", "SECOND", who="li")["result"] == "accepted"
    reasons = [one["reason"] for one in office.good("held", "list")["held"] if one["run_id"] == "SECOND"]
    assert reasons == ["SUSPECT_DUPLICATE"] * 3
    assert office.good("held", "propose", "SECOND", who="wang")["kind"] == "free"
    assert office.good("held", "approve", "SECOND", who="li")["result"] == "3 holds are closed"
    assert "SECOND" not in [one["run_id"] for one in office.good("held", "list")["held"]]


def test_a_run_that_breaks_a_rule_is_rejected_with_its_first_errors(office: Office) -> None:
    """A stranger among the banks rejects the run, told by line; the same file goes through once the line is put right."""
    path = office.jsonl("bad.jsonl", 3, "B")
    good = path.read_text()
    path.write_text(good.replace('"BANKB"', '"BANKX"'))
    words = ("submit", "bad.jsonl", *header("BAD", period="2015-04"))
    done = office(*words, "--json")
    assert (done.code, done.json["state"]) == (2, "rejected")
    assert done.json["errors"][0]["ordinal"] == 3
    again = office(*words, "--json")
    assert (again.code, again.json["state"]) == (2, "rejected")
    path.write_text(good)
    assert office.good(*words)["state"] == "accepted"


def test_an_actor_needs_an_id_a_known_role_and_a_long_secret(office: Office) -> None:
    """What is wrong is refused with its code, and no secret is ever shown."""
    cases = (
        ("no such", "maker", secret("x"), "FORMAT"),
        ("sun", "king", secret("x"), "POLICY"),
        ("sun", "maker", "short", "POLICY"),
        ("wang", "maker", secret("x"), "CONFLICT"),
        ("sun", "admin,maker", secret("x"), "POLICY"),
        ("sun", "admin,checker", secret("x"), "POLICY"),
    )
    for name, roles, word, code in cases:
        done = run_in(
            office.folder, "actor", "add", name, "--roles", roles, "--first", "--json", SHEYIN_ACTOR_SECRET=word
        )
        assert (done.code, done.json["error"]["code"]) == (2, code)
    listed = office("actor", "list", "--json")
    assert secret("wang") not in listed.out
    assert {actor["id"] for actor in listed.json["actors"]} == {"wang", "li", "zhao"}


def test_from_two_admins_on_two_add_people(tmp_path: Path) -> None:
    """The first people are added explicitly, then an admin adds a second one; from then on one proposes and the other approves."""
    office = open_office(tmp_path)

    def add(name: str, roles: str, *more: str, who: str = "") -> Ran:
        variables = {"SHEYIN_NEW_ACTOR_SECRET": secret(name)} | ({"SHEYIN_ACTOR_SECRET": secret(who)} if who else {})
        signed = ("--as", who) if who else ()
        return run_in(
            tmp_path, "actor", "add", name, "--roles", roles, *more, *signed, "--json", stdin=b"", **variables
        )

    assert "--first" in add("wang", "maker").json["error"]["where"]
    assert add("wang", "maker", "--first").code == 0
    assert add("root", "admin", "--first").code == 0
    assert add("li", "checker", "--first").json["error"]["code"] == "AUTH"
    assert add("li", "checker", "--first", who="root").json["error"]["code"] == "POLICY"
    assert add("li", "checker", "--first", who="wang").json["error"]["code"] == "AUTH"
    assert add("li", "checker", who="root").json["active"] is False  # nobody is there yet who could approve
    assert office("actor", "approve", "li", "--json", who="root").json["error"]["code"] == "AUTH"
    assert add("ruth", "admin", "--first", who="root").code == 0
    assert add("sun", "maker", "--first", who="root").json["error"]["code"] == "POLICY"
    assert office.good("actor", "approve", "li", who="ruth")["approved_by"] == "ruth"
    assert {one["id"]: one["active"] for one in office.good("actor", "list")["actors"]}["li"] is True
    assert add("sun", "maker", who="root").code == 0
    office.good("actor", "decline", "sun", who="ruth")
    assert "sun" not in {one["id"] for one in office.good("actor", "list")["actors"]}


def test_a_lane_is_stopped_and_resumed_by_an_operator(office: Office) -> None:
    """With a reason that stands in the list; not by somebody without the role, and not for a bank that is not there."""
    assert office("lanes", "stop", "BANKB", "--reason", "holiday", who="li").code == 2
    assert office("lanes", "stop", "BANKX", "--reason", "holiday", who="wang").code == 2
    office.good("lanes", "stop", "BANKB", "--reason", "holiday", who="wang")
    found = {lane["bank"]: lane for lane in office.good("lanes")["lanes"]}
    assert (found["BANKB"]["state"], found["BANKB"]["reason"]) == ("stopped", "holiday")
    office.good("lanes", "resume", "BANKB", "--reason", "holiday is over", who="wang")
    assert {lane["state"] for lane in office.good("lanes")["lanes"]} == {"running"}


def test_what_is_not_there_is_told_with_what_to_do(tmp_path: Path, office: Office) -> None:
    """No ledger yet, a ledger that is away, a broker that a command needs: 2, 3 and 2, each with a sentence."""
    for words in (("init",), ("pki", "dev")):
        assert run_in(tmp_path, *words).code == 0
    none = run_in(tmp_path, "status", "--json")
    assert (none.code, none.json["error"]["code"]) == (2, "PATH")
    away = run_in(tmp_path, "check", "--json", SHEYIN_LEDGER_URL="postgresql://nobody@127.0.0.1:1/none")
    assert away.code == 3
    broker = run_in(office.folder, "check", "--quick", "--json", SHEYIN_BUS_URL="amqp://guest:guest@127.0.0.1:1/")
    assert broker.code == 3
    for words in (("dlq", "list"), ("payer", "listen")):
        assert office(*words).code == 2
    assert office("submit", "nowhere.csv", *header("X")).code == 2
    assert DEBIT["BANKA"] not in office("release", "list").out
