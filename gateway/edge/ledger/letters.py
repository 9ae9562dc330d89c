"""Letters: the bank's written word, entered by a maker and approved by a different checker (P5, P12).

What a letter says of payments takes the very way of a Result (``collect.apply``): controls, Cases, events and the chain move in one
transaction. What stands in the letter decides nothing alone: everything it changes is weighed again when it is approved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from gateway.core.bank import DocKind, Reason, Row
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code, Conflict, Refused
from gateway.core.ledger import Application, OutDocument
from gateway.core.letters import OF_PAYMENTS, PAYMENTS_MAX, Letter, Says
from gateway.core.money import CNY, Totals
from gateway.core.results import Told
from gateway.core.states import (
    CASE,
    DOCUMENT,
    LIVE_OR_PAID,
    AttemptState,
    CaseEvent,
    CaseState,
    DocumentEvent,
    DocumentState,
    sources,
)
from gateway.core.verdicts import MEANINGS, Judgement, Move, Outcome, Verdict
from gateway.edge.ledger import actors, audit, collect, doubt, lanes
from gateway.edge.ledger.engine import Tx, tries_of

LETTER = "letter"
_OPEN = (AttemptState.BATCHED, AttemptState.UNKNOWN)
#: What a letter may end or correct, by what it says.
_MOVES = {Says.PAID: (*_OPEN, AttemptState.FAILED), Says.FAILED: (*_OPEN, AttemptState.PAID)}
_KINDS = {Says.RECEIVED: DocKind.RECEIPT, Says.NOT_FOUND: DocKind.ANSWER}
_FAULTS_TOLD = 5
_TRIES = (
    "SELECT i.id, i.payer, l.bank, a.key, a.state, a.amount, a.instruction_key, a.try_no, a.document_key FROM {given} "
    "JOIN instruction AS i ON i.id = g.id AND NOT i.rejected AND (:payer = '' OR i.payer = :payer) "
    f"JOIN attempt AS a ON {tries_of('i.key')} JOIN lot AS l ON l.key = a.lot_key ORDER BY a.try_no"
)


class Weighed(NamedTuple):
    """What a letter would do now."""

    body: dict[str, Any]  # what both people see and sign
    tries: list[Any]  # the Attempts that it moves
    documents: dict[int, OutDocument]  # that it speaks of


def preview(tx: Tx, letter: Letter, window_ms: int) -> dict[str, Any]:
    """What a maker would propose now. Raises as ``propose_letter``."""
    return _weigh(tx, letter, window_ms).body


def propose_letter(tx: Tx, actor: str, letter: Letter, window_ms: int) -> dict[str, Any]:
    """The maker's half. ``window_ms``: how long after a sending the bank's "not found" counts, by its Agreement.

    Raises Refused, naming every payment that the letter cannot move, or Conflict where it does not fit the Document's state.
    """
    actors.need_role(tx, actor, actors.MAKER)
    found = _weigh(tx, letter, window_ms)
    actors.propose(tx, actor, LETTER, _subject(letter.bank, letter.reference), found.body, chain=_chained(found.body))
    return found.body


def approve_letter(tx: Tx, actor: str, bank: str, reference: str, window_ms: int) -> dict[str, Any]:
    """The checker's half: what the letter says is done in the same transaction. Raises Conflict where anything changed since."""
    actors.need_role(tx, actor, actors.CHECKER)
    subject = _subject(bank, reference)
    waiting = actors.find(tx, LETTER, subject)
    if waiting is None:
        raise Conflict(f"no open proposal: {LETTER} of {subject}", where=subject)
    letter = msgspec.convert(msgspec.json.decode(waiting.body)["letter"], Letter)
    found = _weigh(tx, letter, window_ms, locked=True)
    row = actors.decide(tx, actor, LETTER, subject, found.body)
    _enter(tx, letter, found, f"letter: {row.maker}, {actor}", int(row.key))
    audit.append(tx, actor, f"{LETTER}.approved", subject, {**_chained(found.body), "maker": row.maker})
    return found.body


def _subject(bank: str, reference: str) -> str:
    return f"letter:{bank}:{reference}"


def _chained(body: dict[str, Any]) -> dict[str, Any]:
    """For the chain: a list of payments by its digest."""
    listed = "\n".join(body["letter"]["payments"])
    return {**body, "letter": {**body["letter"], "payments": sha256(listed.encode()).hexdigest() if listed else ""}}


# ---------------------------------------------------------------------------------------------------------------- weighing


def _weigh(tx: Tx, letter: Letter, window_ms: int, *, locked: bool = False) -> Weighed:
    if bool(letter.document) == bool(letter.payments):
        raise Refused("a letter speaks of one document or of listed payments: exactly one of them", code=Code.SCHEMA)
    if letter.payments and letter.says not in OF_PAYMENTS:
        raise Refused(f"{letter.says!r} is said of a whole document, not of payments", code=Code.SCHEMA)
    if letter.verdict in (Verdict.PAID, Verdict.RECEIVED) or MEANINGS[letter.verdict].move in (Move.INQUIRE, Move.PARK):
        raise Refused(f"{letter.verdict} is no reason why a payment surely failed", code=Code.SCHEMA, where="verdict")
    whole = _document(tx, letter, locked=locked) if letter.document else None
    if whole:
        tries = _open_tries(tx, whole) if letter.says in OF_PAYMENTS else []
        documents = {whole.key: whole}
    else:
        tries = _listed(tx, letter)
        documents = {key: lanes.one(tx, key, lock=locked) for key in sorted({t.document_key for t in tries})}
    _dated(tx, letter, documents.values())
    if whole and letter.says not in OF_PAYMENTS:
        _fits(tx, letter, whole, window_ms)
        count, minor = whole.count, whole.minor
    else:
        if not tries:
            raise Conflict(f"nothing of {letter.document} is open", where=letter.document)
        _departed(documents.values())
        count, minor = len(tries), sum(int(t.amount) for t in tries)
    states: dict[str, list[int]] = {}
    for one in tries:
        summed = states.setdefault(str(one.state), [0, 0])
        summed[0] += 1
        summed[1] += int(one.amount)
    body = {
        "letter": msgspec.to_builtins(letter), "count": count, "minor": minor, "states": states,
        "documents": {d.reference: d.state for d in documents.values()},
    }  # fmt: skip
    return Weighed(body, tries, documents)


def _document(tx: Tx, letter: Letter, *, locked: bool) -> OutDocument:
    found = lanes.document_by_reference(tx, letter.bank, letter.document)
    if found is None or found.kind is not DocKind.PAYMENT:
        raise Refused(f"no payment document {letter.document} went to {letter.bank}", code=Code.UNKNOWN_REF)
    return lanes.one(tx, found.key, lock=locked)


def _open_tries(tx: Tx, document: OutDocument) -> list[Any]:
    """The lines of a Document that have no outcome yet."""
    return tx.rows(
        "SELECT key, state, amount, instruction_key, try_no, document_key FROM attempt WHERE document_key = :key "
        "AND state IN ('batched', 'unknown') ORDER BY key",
        key=document.key,
    )


def _listed(tx: Tx, letter: Letter) -> list[Any]:
    """The named tries. Raises Refused with every name that the letter cannot move."""
    names = list(letter.payments)
    if len(set(names)) != len(names) or len(names) > PAYMENTS_MAX:
        raise Refused(f"a letter lists each payment once, at most {PAYMENTS_MAX} of them", code=Code.SCHEMA)
    ids = sorted({name.partition("#")[0] for name in names})
    given = "json_each(:ids)" if tx.sqlite else "unnest(CAST(:ids AS TEXT[]))"
    rows = tx.rows(
        _TRIES.format(given=f"(SELECT value AS id FROM {given}) AS g" if tx.sqlite else f"{given} AS g(id)"),
        ids=msgspec.json.encode(ids).decode() if tx.sqlite else ids,
        payer=letter.payer,
    )  # fmt: skip
    tries: dict[str, list[Any]] = {}
    for row in rows:
        tries.setdefault(row.id, []).append(row)
    moved, faults = [], []
    for name in names:
        id_, _, no = name.partition("#")
        one, fault = _named(letter, tries.get(id_, []), no)
        if fault:
            faults.append(f"{name}: {fault}")
        else:
            moved.append(one)
    if len({one.key for one in moved}) != len(moved):
        faults.append("one payment is named twice")
    if faults:
        more = f" (and {len(faults) - _FAULTS_TOLD} more)" if len(faults) > _FAULTS_TOLD else ""
        raise Refused("; ".join(faults[:_FAULTS_TOLD]) + more, code=Code.POLICY, where=letter.reference)
    return sorted(moved, key=lambda one: int(one.key))


def _named(letter: Letter, tries: Sequence[Any], no: str) -> tuple[Any, str]:
    """The try that is meant, and why the letter cannot move it (empty where it can)."""
    if not tries:
        return None, "no such payment"
    if len({one.payer for one in tries}) > 1:
        return None, "several payers have such a payment: name the payer"
    if not no and len(tries) > 1:
        return None, f"it was tried {len(tries)} times: name the try, {tries[0].id}#1 or later"
    one = next((t for t in tries if str(t.try_no) == (no or "1")), None)
    if one is None:
        return None, f"there is no try {no}"
    if one.bank != letter.bank:
        return None, f"it was not paid at {letter.bank}"
    if one is not tries[-1]:
        last = tries[-1]
        live = "live or paid" if last.state in LIVE_OR_PAID else "there"
        return None, f"a later try is {live} (try {last.try_no} is {last.state}): only the last one is corrected"
    if one.state not in _MOVES[letter.says] or one.document_key is None:
        return None, f"it is {one.state}"
    return one, ""


def _departed(documents: Iterable[OutDocument]) -> None:
    for document in documents:
        if not document.sendings and not document.exported:
            raise Refused(f"{document.reference} never left: the bank cannot know of it", code=Code.SEQ)


def _dated(tx: Tx, letter: Letter, documents: Iterable[OutDocument]) -> None:
    if letter.dated > _day(tx.now_ms):
        raise Refused(f"the letter is dated {letter.dated}, after today", code=Code.RANGE, where="dated")
    for document in documents:
        if document.last_sending_ms and letter.dated < _day(document.last_sending_ms):
            raise Refused(
                f"the letter is dated {letter.dated}, before {document.reference} was sent", code=Code.RANGE, where="dated"
            )  # fmt: skip


def _fits(tx: Tx, letter: Letter, document: OutDocument, window_ms: int) -> None:
    """Raises where what is said of the whole Document cannot be believed."""
    where = document.reference
    if letter.says is Says.NOT_FOUND:
        if document.state != DocumentState.IN_DOUBT:
            raise Conflict(f"{where} is {document.state}, not in doubt", where=where)
        if document.exported:
            raise Refused(f"{where} was exported by hand: it never goes out again", code=Code.POLICY, where=where)
        counts_ms = document.last_sending_ms + window_ms
        if tx.now_ms < counts_ms or letter.dated < _day(counts_ms):
            moment = datetime.fromtimestamp(counts_ms / 1000, CHINA_TIME)
            what = (
                f'"not found" counts from {moment:%Y-%m-%d %H:%M} on, {window_ms // 60_000} minutes after the sending'
            )
            raise Refused(f"{what}: ask the bank again then", code=Code.POLICY, where=where)
    elif _event(letter, document) not in DOCUMENT[DocumentState(document.state)]:
        raise Conflict(f"{where} is {document.state}: {letter.says!r} says nothing new of it", where=where)
    elif letter.says is Says.REFUSED and not doubt.proven(tx, document):
        what = f"{where} left more than once, or something of it is booked: a refusal proves nothing; list the payments"
        raise Refused(what, code=Code.POLICY, where=where)


def _event(letter: Letter, document: OutDocument) -> DocumentEvent:
    """What is said of the whole Document, as an event of it."""
    if letter.says is Says.NOT_FOUND:
        return DocumentEvent.NOT_FOUND
    if letter.says is Says.REFUSED:
        return DocumentEvent.REFUSED
    return DocumentEvent.FOUND if document.state == DocumentState.IN_DOUBT else DocumentEvent.RECEIPTED


def _day(ms: int) -> date:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(CHINA_TIME).date()


# ---------------------------------------------------------------------------------------------------------------- entering


def _enter(tx: Tx, letter: Letter, found: Weighed, by: str, proposal_key: int) -> None:
    """The letter arrives as a Document in and is applied whole, like a Result."""
    text = msgspec.json.encode(letter, order="sorted")
    key, _ = collect.record_inbound(
        tx, letter.bank, f"{letter.reference}#{proposal_key}", letter.digest or sha256(text).hexdigest(), len(text), LETTER, None
    )  # fmt: skip
    whole = next(iter(found.documents.values())) if letter.document else None
    told = _told(letter, found.tries)
    application = Application(
        inbound_key=key,
        kind=_KINDS.get(letter.says, DocKind.RESULT),
        reference=letter.reference,
        original=letter.document,
        seal_by=by,
        totals=Totals(found.body["count"], found.body["minor"]),
        document_key=whole.key if whole else None,
        document_event=_event(letter, whole) if whole and letter.says not in OF_PAYMENTS else "",
        document_code=letter.code,
        document_what=f"the bank's letter {letter.reference} of {letter.dated}",
    )
    applied = collect.apply(tx, application, told)
    if applied.parked or sum(applied.moved.values()) < len(found.tries):
        raise Conflict("a payment moved while the letter was entered: look again", where=letter.reference)
    if letter.says in OF_PAYMENTS:
        _end_cases(tx, letter, found.tries)
        for document in found.documents.values():
            _document_word(tx, letter, document, application)


def _told(letter: Letter, tries: Iterable[Any]) -> Told:
    """What the letter says, line by line."""
    told = Told(letter=True)
    paid = letter.says is Says.PAID
    judged = Judgement(Outcome.PAID, Verdict.PAID) if paid else Judgement(Outcome.FAILED, letter.verdict)
    reasons = () if paid else (Reason(LETTER, letter.code),)
    for one in tries:
        text = f"letter {letter.reference} of {letter.dated}"
        told.add(Row(str(one.key), int(one.amount), CNY, str(letter.says), reasons, letter.reference, text), judged)
    return told


def _end_cases(tx: Tx, letter: Letter, tries: Sequence[Any]) -> None:
    """Nothing is to be mended any more of what the bank says it has paid."""
    if letter.says is not Says.PAID:
        return
    for before, after in sources(CASE, CaseEvent.CLOSED).items():
        if before is CaseState.REPAYING:  # a second try under way: the application has ended it
            continue
        listed = ", ".join(str(int(one.instruction_key)) for one in tries if one.state == AttemptState.FAILED)
        if listed:
            tx.run(
                f"UPDATE case_file SET state = :after, closed_ms = :now WHERE state = :before AND instruction_key IN ({listed})",
                after=str(after), before=str(before), now=tx.now_ms,
            )  # fmt: skip


def _document_word(tx: Tx, letter: Letter, document: OutDocument, application: Application) -> None:
    """What word on its payments means for the Document: the bank has it; one that waits to go again must not."""
    if document.state == DocumentState.SEALED:
        doubt.document_word(tx, document.key, DocumentEvent.DOUBTED, application)
    now = lanes.one(tx, document.key)
    if letter.says is Says.PAID or not _open_tries(tx, now):
        event = _event(letter, now)
        if event in DOCUMENT[DocumentState(now.state)]:
            doubt.document_word(tx, now.key, event, application)
