"""A repeated file, answered in the four ways that banks answer it; what the books say afterwards; restarts."""

from __future__ import annotations

from gateway.core.bank import DuplicateAnswer
from gateway.sandbox.runner import Answers
from tests.sandbox.bureau import Folder, Ring, booked, cms, group, pain001, pays, records, standard, until, wrapped
from tests.sandbox.conftest import StartBank


def _answers(duplicate: DuplicateAnswer, **more: object) -> Answers:
    return Answers(receipts=False, duplicate=duplicate, **more)  # type: ignore[arg-type]  # settings by name


def _take(folder: Folder, count: int = 1) -> list[bytes]:
    return [folder.take(name) for name in folder.wait(count)]


def test_error(start_bank: StartBank, ring: Ring) -> None:
    """Refused as a duplicate, with the code that never means a failure; credited once."""
    live = start_bank(answers=_answers(DuplicateAnswer.ERROR))
    payload = wrapped(pain001(pays(3)), ring.bureau)
    live.folder.put("f1.xml", payload)
    _take(live.folder)
    live.folder.put("f1.xml", payload)
    (refusal,) = _take(live.folder)
    assert group(refusal) == ("R0001", "RJCT", "DUPL")
    assert live.books()["paid"]["count"] == 3
    assert live.books()["doubles"] == 0


def test_error_in_the_standard_file(start_bank: StartBank, ring: Ring) -> None:
    """Code 4001 for the same reference under another name."""
    live = start_bank("standard_file", answers=_answers(DuplicateAnswer.ERROR))
    payload = standard(pays(3))
    live.folder.put("f1.txt", payload, cms(payload, ring.bureau))
    _take(live.folder)
    live.folder.put("f2.txt", payload, cms(payload, ring.bureau))
    (refusal,) = _take(live.folder)
    assert next(records(refusal))[8:13:4] == ["R0001", "4001"]
    assert live.books()["paid"]["count"] == 3


def test_first_result(start_bank: StartBank, ring: Ring) -> None:
    """The very same answers once more; credited once."""
    live = start_bank(answers=_answers(DuplicateAnswer.FIRST_RESULT))
    payload = wrapped(pain001(pays(3)), ring.bureau)
    live.folder.put("f1.xml", payload)
    (name,) = live.folder.wait(1)
    first = live.folder.take(name)
    live.folder.put("f1.xml", payload)
    assert live.folder.wait(1) == [name]
    assert live.folder.take(name) == first
    assert live.books()["paid"]["count"] == 3
    assert [document["standing"] for document in live.books()["documents"]] == ["booked", "repeated"]


def test_overwrite(start_bank: StartBank, ring: Ring) -> None:
    """The second copy takes the place of the first: new answers, credited once."""
    live = start_bank(answers=_answers(DuplicateAnswer.OVERWRITE))
    payload = wrapped(pain001(pays(3)), ring.bureau)
    live.folder.put("f1.xml", payload)
    (name,) = live.folder.wait(1)
    live.folder.take(name)
    live.folder.put("f1.xml", payload)
    (again,) = live.folder.wait(1)
    assert again != name
    assert live.books()["paid"]["count"] == 3
    assert live.books()["doubles"] == 0
    assert [document["standing"] for document in live.books()["documents"]] == ["overwritten", "booked"]


def test_no_dedupe(start_bank: StartBank, ring: Ring) -> None:
    """Paid twice, and the books say so."""
    live = start_bank(answers=_answers(DuplicateAnswer.NO_DEDUPE))
    payload = wrapped(pain001(pays(3)), ring.bureau)
    for _ in range(2):
        live.folder.put("f1.xml", payload)
        _take(live.folder)
    assert live.books()["paid"]["count"] == 6
    assert live.books()["doubles"] == 3
    assert {payment.times for payment in live.running.payments("BANKA")} == {2}


def test_key_is_the_file_name(start_bank: StartBank, ring: Ring) -> None:
    """With the name as the key, another reference under the same name is a duplicate and another name is not."""
    live = start_bank(answers=_answers(DuplicateAnswer.ERROR, duplicate_key="name"))
    live.folder.put("f1.xml", wrapped(pain001(pays(2)), ring.bureau))
    _take(live.folder)
    live.folder.put("f1.xml", wrapped(pain001(pays(2, 11), "R0002"), ring.bureau, reference="R0002"))
    (refusal,) = _take(live.folder)
    assert group(refusal) == ("R0002", "RJCT", "DUPL")
    live.folder.put("f2.xml", wrapped(pain001(pays(2)), ring.bureau))
    _take(live.folder)
    assert live.books()["doubles"] == 2


def test_books_and_answers_survive_a_kill(start_bank: StartBank, ring: Ring) -> None:
    """Killed between booking and answering, the bank comes back with books and answers."""
    live = start_bank(answers=Answers(), hold_results=True)
    live.folder.put("f1.xml", wrapped(pain001(pays(100)), ring.bureau))
    booked(live.running, live.code)
    live.running.kill()
    live.running.start()
    live.running.release(live.code)
    until(lambda: True if len(live.folder.names()) == 2 else None)
    assert live.books()["paid"]["count"] == 100
    assert live.running.stop().banks["BANKA"]["results"] == 1


def test_a_file_booked_before_a_kill_is_not_booked_again(start_bank: StartBank, ring: Ring) -> None:
    """Found again in its directory after a kill, a file that was booked already is only put aside."""
    live = start_bank(answers=_answers(DuplicateAnswer.NO_DEDUPE), hold_results=True)
    live.folder.put("f1.xml", wrapped(pain001(pays(5)), ring.bureau))
    booked(live.running, live.code)
    until(lambda: True if (live.folder.path / "in/done/f1.xml").exists() else None)
    live.running.stop()
    _untaken(live.folder, live.running.sandbox.banks[0].state)
    live.running.start()
    until(lambda: True if (live.folder.path / "in/done/f1.xml").exists() else None)
    assert live.books()["paid"]["count"] == 5


def _untaken(folder: Folder, state: str) -> None:
    """Set the stage of a kill right after the commit: the file still lies there, and the books know it."""
    import sqlite3
    from contextlib import closing

    (folder.path / "in/done/f1.xml").rename(folder.path / "in/f1.xml")
    with closing(sqlite3.connect(f"{state}/books.sqlite")) as db:
        db.execute("UPDATE document SET taken = 0")
        db.commit()
