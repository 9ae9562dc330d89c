"""Lanes: who owns one, and the life of a Document that we send.

Every write of a lane carries the lease's epoch: a replica that slept through the end of its lease changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.core.bank import DocKind, PayLine
from gateway.core.contracts import DocumentEvent as DocumentNotice
from gateway.core.errors import Code, Conflict, Halt, Refused
from gateway.core.ledger import OutDocument
from gateway.core.states import (
    DOCUMENT,
    AttemptEvent,
    DocumentEvent,
    DocumentState,
    LaneState,
    step,
)
from gateway.edge.ledger import audit, control, private
from gateway.edge.ledger.engine import Tx, keys_of
from gateway.edge.ledger.events import emit

#: Which event of ours tells the payers of which state.
_TOLD = {
    DocumentState.SENT: "document.sent",
    DocumentState.RECEIPTED: "document.receipted",
    DocumentState.REFUSED: "document.refused",
    DocumentState.IN_DOUBT: "document.in_doubt",
    DocumentState.SETTLED: "document.settled",
}
_TOLD_LINES = (
    "SELECT COUNT(*) FROM attempt WHERE document_key = :key AND state IN ('paid', 'failed', 'returned', 'refused')"
)
_COLUMNS = (
    "d.key, d.bank, d.kind, d.state, d.reference, d.name, d.sequence, d.batch_key, d.count, d.minor, d.created_ms, d.digest, d.size, d.seal, "
    "d.seal_name, d.sendings, d.last_sending_ms, d.inquired_ms, d.inquiries, d.cursor, d.exported, d.about_key, "
    "b.fund, b.debit_account, b.pay_date, b.line"
)
_FROM = "FROM document AS d LEFT JOIN batch AS b ON b.key = d.batch_key"


# ---------------------------------------------------------------------------------------------------------------- the lease


def lane_lease(tx: Tx, bank: str, owner: str, seconds: int) -> int | None:
    """Take or renew; a change of owner raises the epoch, which fences the old one off. ``owner`` names one process, for ever."""
    tx.run("INSERT INTO lane (bank, state) VALUES (:bank, 'running') ON CONFLICT DO NOTHING", bank=bank)
    epoch = tx.scalar(
        "UPDATE lane SET epoch = CASE WHEN owner = :owner THEN epoch ELSE epoch + 1 END, owner = :owner, "
        "until_ms = :until WHERE bank = :bank AND state = 'running' AND (owner = :owner OR until_ms <= :now) RETURNING epoch",
        bank=bank, owner=owner, now=tx.now_ms, until=tx.now_ms + seconds * 1000,
    )  # fmt: skip
    return int(epoch) if epoch is not None else None


def lane_free(tx: Tx, bank: str, owner: str) -> None:
    """Hand the lane over at once (a clean stop)."""
    tx.run("UPDATE lane SET until_ms = 0 WHERE bank = :bank AND owner = :owner", bank=bank, owner=owner)


def fenced(tx: Tx, bank: str, epoch: int, *, outward: bool = False) -> None:
    """Raises Conflict unless the lane's epoch is still ours; holds the row so that it stays so until the commit.

    ``outward``: what would file or send something new also needs the lane to be running; ending what was begun does not.
    """
    state = tx.scalar(tx.locked("SELECT state FROM lane WHERE bank = :bank AND epoch = :epoch"), bank=bank, epoch=epoch)
    if state is None:
        raise Conflict(f"the lane {bank} has a newer owner than epoch {epoch}", where=bank)
    if outward and state != LaneState.RUNNING:
        raise Conflict(f"the lane {bank} is stopped", where=bank)


def stop_lane(tx: Tx, bank: str, reason: str, actor: str) -> None:
    """Nothing is filed or sent until a person resumes it."""
    tx.run("INSERT INTO lane (bank, state) VALUES (:bank, 'running') ON CONFLICT DO NOTHING", bank=bank)
    tx.run(
        "UPDATE lane SET state = 'stopped', reason = :reason, until_ms = 0 WHERE bank = :bank", bank=bank, reason=reason
    )
    audit.append(tx, actor, "lane.stopped", f"lane:{bank}", {"reason": reason})


def resume_lane(tx: Tx, bank: str, actor: str, reason: str) -> None:
    """A person lets it go on."""
    tx.run("UPDATE lane SET state = 'running', reason = '' WHERE bank = :bank", bank=bank)
    audit.append(tx, actor, "lane.resumed", f"lane:{bank}", {"reason": reason})


# ---------------------------------------------------------------------------------------------------------------- reading


def owned(tx: Tx, key: int, epoch: int, *, outward: bool = False) -> OutDocument:
    """A Document for a lane's write: the lane is still ours, and nobody else moves the Document until the commit."""
    fenced(tx, one(tx, key).bank, epoch, outward=outward)
    return one(tx, key, lock=True)


def _document(row: Any) -> OutDocument:
    return OutDocument(
        key=row.key, bank=row.bank, kind=DocKind(row.kind), state=row.state, reference=row.reference, name=row.name, sequence=row.sequence,
        batch_key=row.batch_key, count=int(row.count), minor=int(row.minor), created_ms=int(row.created_ms), digest=row.digest or "",
        size=int(row.size or 0), seal=bytes(row.seal) if row.seal is not None else None, seal_name=row.seal_name, sendings=row.sendings,
        last_sending_ms=int(row.last_sending_ms or 0), inquired_ms=int(row.inquired_ms or 0), inquiries=row.inquiries, cursor=row.cursor,
        exported=bool(row.exported), fund=row.fund or "", debit_account=row.debit_account or "", pay_date=row.pay_date or "",
        line=row.line or "", about_key=row.about_key,
    )  # fmt: skip


def one(tx: Tx, key: int, *, lock: bool = False) -> OutDocument:
    """A Document by key; with ``lock`` it stays as it is until the commit. Raises Halt if there is none: keys come from the ledger itself."""
    query = f"SELECT {_COLUMNS} {_FROM} WHERE d.key = :key"
    row = tx.row(query + " FOR UPDATE OF d" if lock and not tx.sqlite else query, key=key)
    if row is None:
        raise Halt(f"no Document {key}")
    return _document(row)


def documents(tx: Tx, bank: str, states: Sequence[str]) -> list[OutDocument]:
    """Documents of a lane in these states, oldest first."""
    listed = ", ".join(f"'{DocumentState(state)}'" for state in states)
    query = f"SELECT {_COLUMNS} {_FROM} WHERE d.bank = :bank AND d.state IN ({listed}) ORDER BY d.key"
    return [_document(row) for row in tx.rows(query, bank=bank)]


def awaited(tx: Tx, bank: str) -> list[tuple[OutDocument, bool]]:
    """Payment Documents that the bank has by our knowledge, with lines whose outcome it has not told; oldest first.

    The second: whether the bank itself said of one of them that nobody knows.
    """
    found: dict[int, bool] = {}
    for row in tx.rows(
        "SELECT DISTINCT run_key FROM control WHERE view = 'own' AND bank = :bank AND part IN ('batched', 'unknown') AND count <> 0",
        bank=bank,
    ):
        for waiting in tx.rows(
            "SELECT document_key, MAX(CASE WHEN state = 'unknown' THEN 1 ELSE 0 END) AS doubtful FROM attempt "
            f"WHERE {keys_of(':run', 'key')} AND state IN ('batched', 'unknown') GROUP BY document_key",
            run=row.run_key,
        ):
            found[waiting.document_key] = bool(waiting.doubtful) or found.get(waiting.document_key, False)
    there = documents(tx, bank, [DocumentState.SENT, DocumentState.RECEIPTED]) if found else []
    return [(document, found[document.key]) for document in there if document.key in found]


def document_by_reference(tx: Tx, bank: str, reference: str) -> OutDocument | None:
    """The Document of ours that a bank's answer names; only if it went to that bank."""
    row = tx.row(
        f"SELECT {_COLUMNS} {_FROM} WHERE d.bank = :bank AND d.reference = :reference", bank=bank, reference=reference
    )
    return _document(row) if row else None


def pay_lines(tx: Tx, document_key: int, after_line: int, most: int) -> list[PayLine]:
    """A page of a Document's lines, unsealed; a correction's name or account takes the ordered one's place."""
    rows = tx.rows(
        "SELECT a.line, a.key, i.key AS payment, i.name, i.sealed, a.amount, i.purpose, c.name AS new_name, c.sealed AS new_account "
        "FROM attempt AS a JOIN instruction AS i ON i.key = a.instruction_key LEFT JOIN correction AS c ON c.attempt_key = a.key "
        "WHERE a.document_key = :key AND a.line > :after ORDER BY a.line LIMIT :most",
        key=document_key, after=after_line, most=most,
    )  # fmt: skip
    lines, atrest = [], tx.atrest
    for line, key, payment, name, sealed, amount, purpose, new_name, new_account in rows:
        hidden = private.unseal(atrest, sealed)
        account = private.unseal_account(atrest, new_account) if new_account is not None else hidden.account
        person = (new_name or name, account, amount, hidden.id_type, hidden.id_number, purpose)
        lines.append(PayLine(line, key, *person, payment=payment))
    return lines


# ---------------------------------------------------------------------------------------------------------------- the life of a Document


def move_document(
    tx: Tx, document: OutDocument, event: DocumentEvent, *, code: str = "", what: str = "", **columns: Any
) -> DocumentState:
    """Step one Document and tell the payers whose payments it carries. The caller holds its lane or an Act."""
    current = tx.scalar(tx.locked("SELECT state FROM document WHERE key = :key"), key=document.key)
    if event is DocumentEvent.NOT_FOUND and (told := tx.scalar(_TOLD_LINES, key=document.key)):
        what = f"the bank does not find {document.reference}, but has told what became of {told} of its lines"
        raise Refused(what, code=Code.CONFLICT)
    if event is DocumentEvent.NOT_FOUND and document.exported:
        raise Refused(f"{document.reference} was exported by hand: it never goes out again", code=Code.POLICY)
    state = step(DOCUMENT, DocumentState(current), event)
    assigned = "".join(f", {name} = :{name}" for name in columns)
    tx.run(
        f"UPDATE document SET state = :state, code = :code, what = :what{assigned} WHERE key = :key",
        state=str(state), code=code or None, what=what or None, key=document.key, **columns,
    )  # fmt: skip
    if state in _TOLD and document.kind is DocKind.PAYMENT:
        digest = str(columns.get("digest", document.digest))
        for row in tx.rows(
            "SELECT payer, count, minor FROM document_share WHERE document_key = :key ORDER BY payer", key=document.key
        ):
            emit(
                tx, row.payer, _TOLD[state],
                DocumentNotice(
                    document=document.reference, name=document.name, bank=document.bank, digest=digest, count=int(row.count),
                    total=int(row.minor), code=code, what=what,
                ),
            )  # fmt: skip
    return state


def mark_sealed(
    tx: Tx, document_key: int, epoch: int, digest: str, size: int, seal: bytes | None, seal_name: str
) -> bool:
    """open → sealed. False where it was voided meanwhile."""
    document = owned(tx, document_key, epoch)
    if document.state != DocumentState.OPEN:
        return False
    move_document(
        tx, document, DocumentEvent.SEALED, digest=digest, size=size, seal=seal, seal_name=seal_name, sealed_ms=tx.now_ms
    )  # fmt: skip
    body = {"name": document.name, "digest": digest, "count": document.count, "minor": document.minor}
    audit.append(tx, audit.SERVICE, "document.sealed", f"document:{document.reference}", body)
    return True


def mark_sending(tx: Tx, document_key: int, epoch: int) -> bool:
    """sealed → sending, committed before the first byte leaves. False where it was voided or exported meanwhile."""
    document = owned(tx, document_key, epoch, outward=True)
    if document.state != DocumentState.SEALED or document.exported:
        return False
    move_document(tx, document, DocumentEvent.STARTED, sendings=document.sendings + 1, last_sending_ms=tx.now_ms)
    return True


def mark_travelled(tx: Tx, document_key: int, epoch: int, event: str, code: str = "", what: str = "") -> str:
    """How a sending or an inquiry ended. A Receipt can overtake the end of the sending: then nothing changes."""
    document = owned(tx, document_key, epoch)
    arrow = DocumentEvent(event)
    if arrow not in DOCUMENT[DocumentState(document.state)]:
        return document.state
    # ``sendings`` counts those that may have left: a refusal after one is proof, a Document with none may be void
    left = {"sendings": document.sendings - 1} if arrow is DocumentEvent.SURELY_NOT_SENT else {}
    until = _written_until(tx, document) if arrow is DocumentEvent.DOUBTED else {}
    state = move_document(tx, document, arrow, code=code, what=what, **left, **until)
    audit.append(
        tx, audit.SERVICE, f"document.{arrow}", f"document:{document.reference}",
        {"state": str(state), "sending": document.sendings, "code": code, "what": what[:200]},
    )  # fmt: skip
    return str(state)


def _written_until(tx: Tx, document: OutDocument) -> dict[str, Any]:
    """A sending that ends in doubt may have written until now, however long ago it began: from now on "not found" has its window.

    Not of an inquiry: of a question it counts when it was asked at the earliest.
    """
    return {} if document.kind is DocKind.INQUIRY else {"last_sending_ms": tx.now_ms}


def save_cursor(tx: Tx, document_key: int, epoch: int, cursor: str) -> None:
    """A route's durable place. While it is sending, the next part begins now: should the sender die in it, its window counts from here."""
    document = one(tx, document_key)
    fenced(tx, document.bank, epoch)
    sent_ms = tx.now_ms if document.state == DocumentState.SENDING else document.last_sending_ms or None
    tx.run(
        "UPDATE document SET cursor = :cursor, last_sending_ms = :sent WHERE key = :key",
        cursor=cursor,
        sent=sent_ms,
        key=document_key,
    )


def doubt_sendings(tx: Tx, bank: str, epoch: int) -> int:
    """A sender that died left these: nobody knows how far it came."""
    fenced(tx, bank, epoch)
    found = documents(tx, bank, [DocumentState.SENDING])
    for document in found:
        move_document(tx, document, DocumentEvent.DOUBTED, what="the sender stopped in the middle")
        audit.append(
            tx, audit.SERVICE, "document.doubted", f"document:{document.reference}", {"sending": document.sendings}
        )
    return len(found)


def mark_inquired(tx: Tx, document_key: int, epoch: int) -> None:
    """An inquiry was made now."""
    fenced(tx, one(tx, document_key).bank, epoch)
    tx.run(
        "UPDATE document SET inquired_ms = :now, inquiries = inquiries + 1 WHERE key = :key",
        now=tx.now_ms,
        key=document_key,
    )


def void_document(tx: Tx, document: OutDocument, why: str) -> None:
    """A Document that surely never left is void; its Attempts are ready again and will be filed anew."""
    if document.sendings or document.exported:
        raise Halt(f"{document.reference} may have left and cannot be void", where=document.reference)
    move_document(tx, document, DocumentEvent.VOIDED, what=why)
    control.move(
        tx, AttemptEvent.DOCUMENT_VOID, "a.document_key = :document", also="document_key = NULL, line = NULL", document=document.key
    )  # fmt: skip
    audit.append(tx, audit.SERVICE, "document.voided", f"document:{document.reference}", {"why": why})
