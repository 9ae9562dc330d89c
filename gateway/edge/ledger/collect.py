"""Collect: what arrived is recorded, and applied whole in one transaction: every line applied or parked (P4, P7, P9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.core.contracts import CHUNK_MAX, NameMismatch, PaymentResult, PaymentResults
from gateway.core.errors import Conflict, Halt
from gateway.core.ledger import Application, Applied, InDocument, OutDocument, Recorded
from gateway.core.results import Applying, Known, Parking, Told, ToldLine, Word, weigh
from gateway.core.states import (
    ATTEMPT,
    CASE,
    DOCUMENT,
    INBOUND,
    AttemptEvent,
    AttemptState,
    CaseEvent,
    CaseState,
    DocumentEvent,
    DocumentState,
    InboundEvent,
    InboundState,
    step,
)
from gateway.core.verdicts import MEANINGS, Outcome, Verdict
from gateway.edge.ledger import audit, control, doubt, lanes
from gateway.edge.ledger.bulk import stage
from gateway.edge.ledger.engine import Tx
from gateway.edge.ledger.events import emit, pages

_PAGE = 5_000
_STAGE = (
    ("key", "BIGINT PRIMARY KEY"),
    ("before", "TEXT"),
    ("after", "TEXT"),
    ("verdict", "TEXT"),
    ("code", "TEXT"),
    ("bank_ref", "TEXT"),
)
_UNPAID = (AttemptState.FAILED, AttemptState.RETURNED, AttemptState.REFUSED)
_TOLD_FINAL = (AttemptState.PAID, AttemptState.FAILED)


# ---------------------------------------------------------------------------------------------------------------- arriving


def record_inbound(
    tx: Tx, bank: str, name: str, digest: str, size: int, channel: str, seal: bytes | None, about: str = ""
) -> tuple[int, Recorded]:
    """It is archived. Only what was applied makes a duplicate; the same bytes still under way are the same Document.

    What was quarantined is looked at anew when it comes again: a detached seal is not part of the bytes, and this time it may hold.
    """
    same = tx.row(
        "SELECT key, state FROM inbound WHERE bank = :bank AND name = :name AND digest = :digest AND state NOT IN ('duplicate', 'quarantined') "
        "ORDER BY CASE WHEN state = 'applied' THEN 0 ELSE 1 END, key LIMIT 1",
        bank=bank,
        name=name,
        digest=digest,
    )
    if same and same.state != InboundState.APPLIED:
        return int(same.key), Recorded.NEW
    state = InboundState.DUPLICATE if same else InboundState.ARCHIVED
    key = tx.scalar(
        "INSERT INTO inbound (bank, name, digest, size, channel, state, seal, original, received_ms) "
        "VALUES (:bank, :name, :digest, :size, :channel, :state, :seal, :about, :now) RETURNING key",
        bank=bank,
        name=name,
        digest=digest,
        size=size,
        channel=channel,
        state=str(state),
        seal=seal,
        about=about or None,
        now=tx.now_ms,
    )
    return int(key), Recorded.DUP if same else Recorded.NEW


def inbound(tx: Tx, states: Sequence[str], bank: str = "") -> list[InDocument]:
    """Arrived Documents in these states, oldest first."""
    listed = ", ".join(f"'{InboundState(state)}'" for state in states)
    rows = tx.rows(
        f"SELECT * FROM inbound WHERE state IN ({listed}) AND (:bank = '' OR bank = :bank) ORDER BY key", bank=bank
    )
    return [
        InDocument(
            key=r.key,
            bank=r.bank,
            name=r.name,
            digest=r.digest,
            size=int(r.size),
            state=r.state,
            seal=bytes(r.seal) if r.seal is not None else None,
            about=r.original or "",
        )
        for r in rows
    ]


def _inbound(tx: Tx, key: int) -> Any:
    row = tx.row(tx.locked("SELECT * FROM inbound WHERE key = :key"), key=key)
    if row is None:
        raise Halt(f"no inbound Document {key}")
    return row


def close_inbound(tx: Tx, inbound_key: int, event: str, code: str, what: str, kind: str = "") -> None:
    """Quarantine or park a whole Document: nothing of it was applied, its bytes stay in the archive."""
    row = _inbound(tx, inbound_key)
    state = step(INBOUND, InboundState(row.state), InboundEvent(event))
    tx.run(
        "UPDATE inbound SET state = :state, code = :code, what = :what, kind = COALESCE(:kind, kind) WHERE key = :key",
        state=str(state),
        code=code,
        what=what[:500],
        kind=kind or None,
        key=inbound_key,
    )
    audit.append(
        tx, audit.SERVICE, f"inbound.{state}", f"inbound:{row.bank}:{row.name}", {"code": code, "digest": row.digest}
    )


# ---------------------------------------------------------------------------------------------------------------- applying


def apply(tx: Tx, application: Application, told: Told) -> Applied:
    """All of it or none. Raises Conflict if another transaction moved one of its Attempts meanwhile: apply it again."""
    row = _inbound(tx, application.inbound_key)
    state = InboundState(row.state)
    if state is InboundState.ARCHIVED:
        if _applied_twin(tx, row):  # taken in twice at the same moment
            state = step(INBOUND, state, InboundEvent.REPEATED)
            tx.run("UPDATE inbound SET state = :state WHERE key = :key", state=str(state), key=row.key)
            return Applied(moved={}, parked=0, quiet=0)
        state = step(INBOUND, state, InboundEvent.VERIFIED)
    if state is InboundState.VERIFIED:
        state = step(INBOUND, state, InboundEvent.STAGED)
    state = step(INBOUND, state, InboundEvent.APPLIED)
    if not tx.sqlite:  # 5,000 keys are looked up one by one: hashing the whole month for each page cost 23 s of it
        tx.run("SET LOCAL enable_hashjoin = off")
        tx.run("SET LOCAL enable_mergejoin = off")
        tx.run("SET LOCAL join_collapse_limit = 1")  # in the order written: keys first
    work = _Application(tx, application, row.bank)
    for page in told.pages(_PAGE):
        work.page(told, page)
        tx.reach("collect.weighed")
    work.finish()
    tx.run(
        "UPDATE inbound SET state = :state, kind = :kind, reference = :reference, original = :original, seal_by = :by, count = :count, "
        "minor = :minor, applied_ms = :now WHERE key = :key",
        state=str(state),
        kind=str(application.kind),
        reference=application.reference,
        original=application.original,
        by=application.seal_by,
        count=application.totals.count,
        minor=application.totals.minor,
        now=tx.now_ms,
        key=application.inbound_key,
    )
    body = {
        "digest": row.digest,
        "kind": str(application.kind),
        "original": application.original,
        "by": application.seal_by,
        "moved": dict(work.moved),
        "parked": work.parked,
        "quiet": work.quiet,
    }
    audit.append(tx, audit.SERVICE, "inbound.applied", f"inbound:{row.bank}:{row.name}", body)
    return Applied(moved=dict(work.moved), parked=work.parked, quiet=work.quiet)


def _applied_twin(tx: Tx, row: Any) -> bool:
    return bool(
        tx.scalar(
            "SELECT 1 FROM inbound WHERE bank = :bank AND name = :name AND digest = :digest AND state = :applied",
            bank=row.bank, name=row.name, digest=row.digest, applied=str(InboundState.APPLIED),
        )
    )  # fmt: skip


class _Application:
    """The state of one application over its pages."""

    def __init__(self, tx: Tx, application: Application, bank: str) -> None:
        self.tx, self.application, self.bank = tx, application, bank
        self.document = lanes.one(tx, application.document_key) if application.document_key is not None else None
        self.documents = frozenset((self.document.key,)) if self.document else None
        self.seen: set[int] = set()
        self.moved: Counter[str] = Counter()
        self.moves: Counter[tuple[int, str, str]] = Counter()
        self.minors: Counter[tuple[int, str, str]] = Counter()
        self.parked = 0
        self.quiet = 0
        self.lots: dict[int, Any] = {}
        self.told_of: set[int] = set()  # Documents with a line that moved
        self.standing: dict[int, frozenset[tuple[str, ...]]] = {}  # Document → what stood parked of it, open, before

    def page(self, told: Told, page: list[Any]) -> None:
        """Weigh, move, tell, park one page."""
        known = known_attempts(self.tx, self.bank, [line.key for line in page if line.key >= 0])
        weighed = weigh(told, page, known, self.documents, self.seen)
        self.quiet += weighed.quiet
        self._move(weighed.applying)
        self._tell(told, weighed.applying)
        self._cases(weighed.applying)
        for parking in weighed.parking:
            self._park(told, parking)

    def _move(self, applying: list[Applying]) -> None:
        if not applying:
            return
        rows = [
            (a.known.key, a.known.state, str(a.after), str(a.line.word.verdict), a.line.word.code, a.line.bank_ref)
            for a in applying
        ]
        rows.sort()
        if update_attempts(self.tx, self.application.inbound_key, rows) != len(rows):
            raise Conflict(
                "an Attempt moved while its result was applied", where=f"inbound {self.application.inbound_key}"
            )
        for a in applying:
            key = (a.known.lot_key, a.known.state, str(a.after))
            self.moves[key] += 1
            self.minors[key] += a.known.amount
            self.moved[str(a.after)] += 1
            if a.known.document_key is not None:
                self.told_of.add(a.known.document_key)

    def _tell(self, told: Told, applying: list[Applying]) -> None:
        """``payment.results`` and ``name.mismatch``, per payer."""
        missing = {a.known.lot_key for a in applying} - self.lots.keys()
        if missing:
            listed = ", ".join(str(key) for key in sorted(missing))
            self.lots |= {
                r.key: r
                for r in self.tx.rows(
                    "SELECT l.key, l.bank, o.payer, o.run_id FROM lot AS l JOIN run AS o ON o.key = l.origin_key "
                    f"WHERE l.key IN ({listed})"
                )
            }
        results: dict[str, list[PaymentResult]] = {}
        document = self.document.reference if self.document else self.application.original
        for known, after, line in applying:
            lot, word = self.lots[known.lot_key], line.word
            results.setdefault(lot.payer, []).append(
                PaymentResult(
                    instruction_id=known.instruction_id,
                    run_id=lot.run_id,
                    attempt=known.try_no,
                    sequence=known.told + 1,
                    outcome=after.value,
                    amount=known.amount,
                    bank=self.bank,
                    verdict=word.verdict.value,
                    move="" if after is AttemptState.PAID else MEANINGS[word.verdict].move.value,
                    code=word.code,
                    text=word.text,
                    bank_ref=line.bank_ref,
                    document=document,
                    corrects=known.state if told.letter and known.state in _TOLD_FINAL else "",
                )
            )
            if word.verdict is Verdict.NAME_MISMATCH:
                ordered = self.tx.scalar(  # the name that was used: a correction's, if it has one
                    "SELECT COALESCE(c.name, i.name) FROM instruction AS i LEFT JOIN correction AS c ON c.attempt_key = :attempt "
                    "WHERE i.key = :key",
                    key=known.instruction_key, attempt=known.key,
                )  # fmt: skip
                mismatch = NameMismatch(
                    instruction_id=known.instruction_id,
                    run_id=lot.run_id,
                    bank=self.bank,
                    ordered_name=ordered,
                    bank_name=told.name(line.at),
                    code=word.code,
                )
                emit(self.tx, lot.payer, "name.mismatch", mismatch)
        for payer, listed_results in results.items():
            for part in pages(listed_results, CHUNK_MAX):
                emit(self.tx, payer, "payment.results", PaymentResults(results=list(part)))

    def _cases(self, applying: list[Applying]) -> None:
        """A Case for what is not paid; a Case that a second try has ended is closed."""
        for known, after, line in applying:
            if after in _UNPAID:
                open_case(self.tx, known.instruction_key, known.key, line.word.verdict)
            elif after is AttemptState.PAID and known.try_no > 1:
                self.tx.run(
                    "UPDATE case_file SET state = :closed, closed_ms = :now WHERE instruction_key = :key AND state = :repaying",
                    closed=str(step(CASE, CaseState.REPAYING, CaseEvent.CLOSED)),
                    now=self.tx.now_ms,
                    key=known.instruction_key,
                    repaying=str(CaseState.REPAYING),
                )

    def _park(self, told: Told, parking: Parking) -> None:
        """For a person, once: a bank that is asked again and again says the same again."""
        known = parking.known
        document = known.document_key if known else (self.document.key if self.document else None)
        word = (told.reference(parking.line)[:80], str(parking.code), parking.what[:500], told.raw(parking.line))
        if document is not None and word in self._standing(document):
            self.quiet += 1
        else:
            self.parked += 1
            self.tx.run(
                "INSERT INTO parked (inbound_key, bank, document_key, attempt_key, ref, code, what, raw, at_ms) "
                "VALUES (:inbound, :bank, :document, :attempt, :ref, :code, :what, :raw, :now)",
                inbound=self.application.inbound_key,
                bank=self.bank,
                document=document,
                attempt=known.key if known else None,
                ref=word[0],
                code=word[1],
                what=word[2],
                raw=word[3],
                now=self.tx.now_ms,
            )
        if known and parking.contradicts:
            doubt.hold_unsent(self.tx, known, parking.what)

    def _standing(self, document: int) -> frozenset[tuple[str, ...]]:
        if document not in self.standing:
            rows = self.tx.rows(
                "SELECT ref, code, what, raw FROM parked WHERE document_key = :document AND closed_ms IS NULL AND inbound_key <> :own",
                document=document,
                own=self.application.inbound_key,
            )
            self.standing[document] = frozenset((row.ref, row.code, row.what, row.raw) for row in rows)
        return self.standing[document]

    def finish(self) -> None:
        """Controls, and what the word on the whole, or on its last line, does to our Documents."""
        document, event = self.document, self.application.document_event
        if document and event == DocumentEvent.REFUSED:
            self._end_doubts(document)
        control.record(self.tx, [control.Moved(*key, count, self.minors[key]) for key, count in self.moves.items()])
        told = sum(self.moves.values())
        if document and told:
            self.tx.run("UPDATE document SET told = told + :told WHERE key = :key", told=told, key=document.key)
        if document and event:
            doubt.document_word(self.tx, document.key, DocumentEvent(event), self.application)
        refused = {document.key} if document and event == DocumentEvent.REFUSED else set()
        for key in sorted(self.told_of - refused):
            doubt.lines_told(self.tx, key, self.application)

    def _end_doubts(self, document: OutDocument) -> None:
        """The whole is refused with proof: what was unknown in it is surely not paid, and the payer is told so."""
        keys = [
            row.key
            for row in self.tx.rows(
                "SELECT key FROM attempt WHERE document_key = :key AND state = 'unknown' ORDER BY key", key=document.key
            )
        ]
        believed = DocumentEvent.REFUSED in DOCUMENT[DocumentState(document.state)] and doubt.proven(self.tx, document)
        if not keys or not believed:
            return
        after = step(ATTEMPT, AttemptState.UNKNOWN, AttemptEvent.FAILED)
        word = Word(Outcome.FAILED, Verdict.NO_REASON, self.application.document_code, self.application.document_what)
        for part in pages(keys, _PAGE):
            known = known_attempts(self.tx, self.bank, list(part))
            applying = [Applying(known[key], after, ToldLine(0, key, -1, word, "")) for key in part]
            self._move(applying)
            self._tell(Told(), applying)
            self._cases(applying)


def known_attempts(tx: Tx, bank: str, keys: list[int]) -> dict[int, Known]:
    """Attempts by key; only those filed with ``bank``."""
    if not keys:
        return {}
    # The keys lead and the rest is looked up: with ``a.key IN (...)`` PostgreSQL trusted statistics taken before the month was filed and
    # read the whole table for every page (137 s of a month).
    given = (
        "(SELECT value AS key FROM json_each(:keys)) AS g" if tx.sqlite else "unnest(CAST(:keys AS BIGINT[])) AS g(key)"
    )
    rows = tx.run(
        "SELECT a.key, a.state, a.amount, a.lot_key, a.instruction_key, a.try_no, a.told, a.document_key, i.id, "
        "d.sendings > 0 OR d.exported AS departed "
        f"FROM {given} JOIN attempt AS a ON a.key = g.key JOIN instruction AS i ON i.key = a.instruction_key "
        "JOIN lot AS l ON l.key = a.lot_key JOIN document AS d ON d.key = a.document_key WHERE l.bank = :bank",
        keys=msgspec.json.encode(keys).decode() if tx.sqlite else keys,
        bank=bank,
    )
    return {row[0]: Known._make(row) for row in rows.all()}


def update_attempts(tx: Tx, inbound_key: int, rows: list[tuple[Any, ...]]) -> int:
    """Set-based move of staged ``rows`` (key, before, after, verdict, code, bank_ref), sorted by key; returns how many moved."""
    if tx.sqlite:
        given = [
            (after, inbound_key, verdict, code, ref, key, before) for key, before, after, verdict, code, ref in rows
        ]
        done = tx.c.exec_driver_sql(
            "UPDATE attempt SET state = ?, result_key = ?, verdict = ?, code = ?, bank_ref = ?, told = told + 1 WHERE key = ? AND state = ?",
            given,
        )
        return int(done.rowcount)
    stage(tx, "stage_result", _STAGE, rows)
    done = tx.run(
        "UPDATE attempt AS a SET state = s.after, result_key = :inbound, verdict = s.verdict, code = s.code, bank_ref = s.bank_ref, "
        "told = a.told + 1 FROM stage_result AS s WHERE a.key = s.key AND a.state = s.before",
        inbound=inbound_key,
    )
    return int(done.rowcount)


def open_case(tx: Tx, instruction_key: int, attempt_key: int, verdict: Verdict) -> None:
    """What the failed payment waits for; a second failure opens the same Case again."""
    tx.run(
        "INSERT INTO case_file (instruction_key, attempt_key, state, verdict, waits_for, since_ms) "
        "VALUES (:instruction, :attempt, :state, :verdict, :move, :now) ON CONFLICT (instruction_key) DO UPDATE SET "
        "attempt_key = excluded.attempt_key, state = excluded.state, verdict = excluded.verdict, waits_for = excluded.waits_for, "
        "since_ms = excluded.since_ms, closed_ms = NULL",
        instruction=instruction_key,
        attempt=attempt_key,
        state=str(CaseState.OPEN),
        verdict=str(verdict),
        move=str(MEANINGS[verdict].move),
        now=tx.now_ms,
    )
