"""What people do when a rule cannot: a document by hand while its wire is down, a letter of the bank, a second look at what was put away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.office import Office, header, open_office, order, total

pytestmark = pytest.mark.timeout(300)  # a dozen commands, each a process, and two servings

COUNT = 6
CLOSED = 4  # number of the order whose account is closed


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Run R1 is released and sent to BANKA; BANKB's folder is not there, so its document is sealed and never left."""
    office = open_office(tmp_path_factory.mktemp("by-hand"))
    office.add_people()
    office.jsonl("r1.jsonl", COUNT)
    office.good("submit", "r1.jsonl", *header("R1"))
    office.good("release", "propose", "R1", "--confirm", f"{COUNT}:{total(COUNT)}", who="wang")
    office.good("release", "approve", "R1", who="li")
    settings = office.folder / "sheyin.toml"
    good = settings.read_text()
    settings.write_text(good.replace('"exchange/BANKB"', '"exchange/nowhere"'))
    with office.banks({order(CLOSED)["account"]: {"verdict": "ACCOUNT_CLOSED"}}), office.serving():
        office.until(lambda: _states(office) == {"BANKA": "receipted", "BANKB": "sealed"} and _told(office))
    settings.write_text(good)
    office.good("lanes", "stop", "BANKB", "--reason", "its server is away", who="wang")
    return office


def _documents(office: Office) -> dict[str, dict[str, object]]:
    return {found["bank"]: found for found in office.good("status", "R1")["documents"]}


def _states(office: Office) -> dict[str, object]:
    return {bank: found["state"] for bank, found in _documents(office).items()}


def _told(office: Office) -> bool:
    document = _documents(office)["BANKA"]
    return document["told"] == document["count"]


def test_a_document_goes_by_hand(office: Office) -> None:
    """Two people export it: the very bytes and the seal; in doubt from then on, and never sent."""
    reference = str(_documents(office)["BANKB"]["reference"])
    amount = order(2)["amount"] + order(5)["amount"]
    wrong = office("export", "propose", reference, "--reason", "no way", "--confirm", "2:1", "--json", who="wang")
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "TOTALS")
    office.good("export", "propose", reference, "--reason", "no wire", "--confirm", f"2:{amount}", who="zhao")
    own = office("export", "approve", reference, "--to", "usb", "--json", who="zhao")
    assert (own.code, own.json["error"]["code"]) == (2, "AUTH")
    assert _states(office)["BANKB"] == "sealed"
    assert list((office.folder / "usb").iterdir()) == []
    done = office.good("export", "approve", reference, "--to", "usb", who="li")
    assert len(done["files"]) == 2
    assert _states(office)["BANKB"] == "in_doubt"
    office.good("export", "write", reference, "--to", "usb2", who="li")
    for one in done["files"]:
        assert (office.folder / one).read_bytes() == (office.folder / "usb2" / Path(one).name).read_bytes()

    at_the_bank = office.folder / "exchange" / "BANKB"
    for name in sorted(done["files"], key=len, reverse=True):  # the seal before what it seals
        shutil.copy(office.folder / name, at_the_bank / "in")


def test_its_answers_come_by_hand(office: Office) -> None:
    """The bank reads the very file and its seal; what it gives back is taken in by hand, verified, and applied."""
    reference = str(_documents(office)["BANKB"]["reference"])
    at_the_bank = office.folder / "exchange" / "BANKB"
    brought = office.folder / "brought"
    brought.mkdir()
    with office.banks():
        office.until(lambda: len([p for p in (at_the_bank / "out").iterdir() if p.name.endswith(".p7s")]) >= 2)
    for path in [found for found in (at_the_bank / "out").iterdir() if found.is_file()]:
        path.rename(brought / path.name)
    files = sorted(path for path in brought.iterdir() if path.suffix != ".p7s")
    for path in files:
        office.good("inbound", "take", path, "--bank", "BANKB", "--reason", "brought by hand", who="wang")
    office.good("lanes", "resume", "BANKB", "--reason", "it is back", who="wang")
    with office.banks(), office.serving():
        office.until(lambda: office.good("status", "R1")["state"] == "closed")
        assert [path for path in (at_the_bank / "in").iterdir() if path.is_file()] == []  # nothing left by wire
    found = office.good("inbound", "list", "--bank", "BANKB", "--state", "applied")["documents"]
    assert {one["channel"] for one in found} == {"hand"}
    assert {one["original"] for one in found} == {reference}
    shown = office("show", order(2)["id"])
    for word in ("export.proposed", "export.approved", "zhao", "li"):
        assert word in shown.out


def test_a_letter_corrects_what_the_bank_told(office: Office) -> None:
    """The account was not closed after all: failed → paid by two people, with the paper in the archive."""
    failing = order(CLOSED)
    (office.folder / "letter.pdf").write_bytes(b"%PDF the bank's own words")
    (office.folder / "list.csv").write_text(f"instruction_id,why\n{failing['id']},credited after all\n")
    words = ("letter", "propose", "L-7", "--bank", "BANKA", "--dated", header("X")[-1], "--says", "paid",
             "--evidence", "signed by the branch", "--payments", "list.csv", "--file", "letter.pdf")  # fmt: skip
    wrong = office(*words, "--confirm", "2:1", "--json", who="wang")
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "TOTALS")
    proposed = office.good(*words, "--confirm", f"1:{failing['amount']}", who="zhao")
    assert proposed["states"] == {"failed": [1, failing["amount"]]}
    own = office("letter", "approve", "L-7", "--bank", "BANKA", "--json", who="zhao")
    assert (own.code, own.json["error"]["code"]) == (2, "AUTH")
    assert [one["maker"] for one in office.good("letter", "list")["proposed"]] == ["zhao"]
    office.good("letter", "approve", "L-7", "--bank", "BANKA", who="li")
    shown = office("show", failing["id"])
    for word in ("letter.approved", "L-7", "paid"):
        assert word in shown.out
    (entered,) = office.good("letter", "list")["entered"]
    assert (entered["reference"], entered["seal_by"]) == ("L-7", "letter: zhao, li")
    raw = office("inbound", "show", str(entered["key"]), "--raw")
    assert raw.out == "%PDF the bank's own words"
    found = office.good("status", "R1")
    assert found["conserved"]
    assert sum(line.get("failed", {"count": 0})["count"] for line in found["conservation"]) == 0
    assert office.good("check")["ok"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--says", "paid", "--payment", "nobody"), "POLICY"),
        (("--says", "paid"), "SCHEMA"),
        (("--says", "maybe", "--payment", "nobody"), "SCHEMA"),
        (("--says", "received", "--document", "X"), "UNKNOWN_REF"),
        (("--says", "paid", "--payments", "nothing.csv"), "PATH"),
    ],
)
def test_a_letter_that_cannot_be(office: Office, more: tuple[str, ...], code: str) -> None:
    """Each is refused with its code, and nothing waits for a checker."""
    words = (
        "letter",
        "propose",
        "L-8",
        "--bank",
        "BANKA",
        "--dated",
        header("X")[-1],
        "--evidence",
        "x",
        "--confirm",
        "1:1",
    )
    done = office(*words, *more, "--json", who="wang")
    assert (done.code, done.json["error"]["code"]) == (2, code)
    assert [
        one for one in office.good("letter", "list")["proposed"] if one["body"]["letter"]["reference"] == "L-8"
    ] == []


def test_a_letter_is_declined_or_taken_back(office: Office) -> None:
    """Both ways end the proposal, and nothing changes."""
    one = order(1)
    words = ("letter", "propose", "L-9", "--bank", "BANKA", "--dated", header("X")[-1], "--says", "failed",
             "--payment", one["id"], "--evidence", "a fax", "--confirm", f"1:{one['amount']}")  # fmt: skip
    for end, who in (("decline", "li"), ("withdraw", "wang")):
        office.good(*words, who="wang")
        office.good("letter", end, "L-9", "--bank", "BANKA", who=who)
    assert office.good("letter", "list")["proposed"] == []
    assert office.good("show", one["id"])["attempts"][0]["state"] == "paid"


def test_what_was_put_away_is_looked_at_again_by_two_people(office: Office) -> None:
    """A stranger's bytes are quarantined, go back for a second look, and are quarantined again: nothing is believed for it."""
    stranger = office.folder / "stranger.txt"
    stranger.write_bytes(b"not sealed by anybody")
    office.good("inbound", "take", stranger, "--bank", "BANKB", "--reason", "found on a desk", who="wang")
    quarantined = ("inbound", "list", "--state", "quarantined")
    with office.banks(), office.serving():
        office.until(lambda: len(office.good(*quarantined)["documents"]) == 1)
    (one,) = office.good(*quarantined)["documents"]
    key = str(one["key"])
    assert office("inbound", "approve", key, "--json", who="li").code == 2
    office.good("inbound", "retake", key, "--reason", "the pin is there now", who="zhao")
    assert office("inbound", "approve", key, "--json", who="zhao").json["error"]["code"] == "AUTH"
    assert "stranger.txt" in office("inbound", "list").out
    assert office.good("inbound", "approve", key, who="li")["state"] == "archived"
    assert office.good(*quarantined)["documents"] == []
    with office.banks(), office.serving():
        office.until(lambda: len(office.good(*quarantined)["documents"]) == 1)
    assert office("inbound", "show", key, "--raw").out == "not sealed by anybody"
    assert office.good("check")["ok"]
    odd = office(
        "inbound", "take", stranger, "--bank", "BANKB", "--name", "../x", "--reason", "x", "--json", who="wang"
    )
    assert odd.json["error"]["code"] == "PATH"
