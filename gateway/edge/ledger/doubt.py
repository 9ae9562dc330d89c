"""What must not go on: a contradicted payment stays here, and the bank's word on a whole Document is believed only with proof (P14)."""

from __future__ import annotations

from gateway.core.bank import DocKind
from gateway.core.ledger import Application, OutDocument
from gateway.core.results import Known
from gateway.core.states import DOCUMENT, AttemptEvent, AttemptState, DocumentEvent, DocumentState
from gateway.edge.ledger import audit, control, lanes
from gateway.edge.ledger.engine import Tx, tries_of


def hold_unsent(tx: Tx, known: Known, what: str) -> None:
    """A contradiction about one Instruction: nothing more of it may leave until a person has looked, this very try included."""
    tries = tx.rows(
        f"SELECT a.key, a.state, a.document_key FROM attempt AS a WHERE {tries_of(':key')}",
        key=known.instruction_key,
    )
    for attempt in tries:
        if attempt.state == AttemptState.BATCHED:
            document = lanes.one(tx, attempt.document_key, lock=True)
            if (
                document.state in (DocumentState.OPEN, DocumentState.SEALED)
                and not document.sendings
                and not document.exported
            ):
                lanes.void_document(tx, document, "one of its payments is contradicted: filed again without it")
        if tx.scalar("SELECT state FROM attempt WHERE key = :key", key=attempt.key) in (
            AttemptState.NEW,
            AttemptState.READY,
            AttemptState.HELD,
        ):
            add_hold(tx, attempt.key, "CONTRADICTION", what)


def add_hold(tx: Tx, attempt_key: int, reason: str, what: str) -> None:
    """One more reason why an Attempt may not go yet."""
    tx.run(
        "INSERT INTO hold (attempt_key, reason, what, opened_ms) VALUES (:key, :reason, :what, :now)",
        key=attempt_key,
        reason=reason,
        what=what[:500],
        now=tx.now_ms,
    )
    # A refused Document stays named on what was freed from it: only the one that waits in a Document now is left alone.
    control.move(tx, AttemptEvent.DOUBTED, "a.key = :key AND a.state <> 'batched'", key=attempt_key)


def proven(tx: Tx, document: OutDocument) -> bool:
    """Whether a refusal of the whole proves that nothing was booked: it left once, and no part of it is booked."""
    booked = tx.scalar(
        "SELECT COUNT(*) FROM attempt WHERE document_key = :key AND state IN ('paid', 'returned')", key=document.key
    )
    return document.departures == 1 and not booked


def all_told(tx: Tx, document: OutDocument) -> bool:
    """Whether the bank has told a final state of every line of a payment Document: then no doubt about the whole is left."""
    if document.kind is not DocKind.PAYMENT:
        return False
    row = tx.row(
        "SELECT COUNT(*) AS lines, SUM(CASE WHEN state IN ('paid', 'failed', 'returned', 'refused') THEN 1 ELSE 0 END) AS told "
        "FROM attempt WHERE document_key = :key",
        key=document.key,
    )
    return bool(row.lines) and row.lines == row.told


def document_word(tx: Tx, document_key: int, event: DocumentEvent, application: Application) -> None:
    """What the bank's word on the whole Document does to it and to its lines that have no word of their own."""
    document = lanes.one(tx, document_key, lock=True)
    denied = event is DocumentEvent.REFUSED
    if denied and not proven(tx, document):
        event = DocumentEvent.DOUBTED
    # Of a Document that left once, "refused" after "paid" is a contradiction; of one that left twice it may be of the second copy.
    contradicted = denied and document.departures < 2
    if event is DocumentEvent.DOUBTED and not contradicted and all_told(tx, document):
        _note(tx, document, application)
        return
    if event not in DOCUMENT[DocumentState(document.state)]:
        if (
            event is DocumentEvent.DOUBTED and document.state == DocumentState.IN_DOUBT
        ):  # by our own wire: now its payments are too
            control.move(tx, AttemptEvent.UNKNOWN, "a.document_key = :document", document=document.key)
        return
    _step(tx, document, event, application)
    if document.kind is not DocKind.PAYMENT:
        return
    if event is DocumentEvent.REFUSED:
        keys = "SELECT key FROM attempt WHERE document_key = :document AND state = 'batched'"
        tx.run(
            f"INSERT INTO hold (attempt_key, reason, what, opened_ms) SELECT key, 'DOCUMENT_REFUSED', :what, :now FROM ({keys}) AS k",
            document=document.key,
            what=f"{document.reference}: {application.document_code} {application.document_what}"[:500],
            now=tx.now_ms,
        )
        control.move(tx, AttemptEvent.DOCUMENT_REFUSED, "a.document_key = :document", document=document.key)
    elif event is DocumentEvent.DOUBTED:
        control.move(tx, AttemptEvent.UNKNOWN, "a.document_key = :document", document=document.key)


def lines_told(tx: Tx, document_key: int, application: Application) -> None:
    """The bank told lines of it, by whatever notice: so it has it. What waits to leave again stays here, and the last line ends the doubt."""
    document = lanes.one(tx, document_key, lock=True)
    if document.state == DocumentState.SEALED:
        _step(tx, document, DocumentEvent.DOUBTED, application)
        control.move(tx, AttemptEvent.UNKNOWN, "a.document_key = :document", document=document.key)
        document = lanes.one(tx, document_key)
    if document.state == DocumentState.IN_DOUBT and all_told(tx, document):
        _step(tx, document, DocumentEvent.FOUND, application)


def _note(tx: Tx, document: OutDocument, application: Application) -> None:
    """A doubt that came after the last line was told is no doubt: the bank has the Document, and its word is kept."""
    if document.state == DocumentState.SEALED:  # it was about to leave again
        _step(tx, document, DocumentEvent.DOUBTED, application)
        document = lanes.one(tx, document.key)
    for event in (DocumentEvent.RECEIPTED, DocumentEvent.FOUND):
        if event in DOCUMENT[DocumentState(document.state)]:
            _step(tx, document, event, application)
            return
    tx.run(
        "UPDATE document SET code = :code, what = :what WHERE key = :key",
        code=application.document_code or None,
        what=application.document_what or None,
        key=document.key,
    )
    _record(tx, document, "noted", application)


def _step(tx: Tx, document: OutDocument, event: DocumentEvent, application: Application) -> None:
    lanes.move_document(tx, document, event, code=application.document_code, what=application.document_what)
    _record(tx, document, event, application)


def _record(tx: Tx, document: OutDocument, what: str, application: Application) -> None:
    body = {"code": application.document_code, "by": application.seal_by}
    audit.append(tx, audit.SERVICE, f"document.{what}", f"document:{document.reference}", body)
