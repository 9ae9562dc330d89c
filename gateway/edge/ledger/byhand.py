"""What two people do at the doors: a sealed Document that leaves by other means (应急), and an arrived one that is looked at again (P12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.core.bank import DocKind
from gateway.core.errors import Code, Conflict, Refused
from gateway.core.ledger import OutDocument
from gateway.core.states import DOCUMENT, INBOUND, DocumentEvent, DocumentState, InboundEvent, InboundState, step
from gateway.edge.ledger import actors, audit, lanes
from gateway.edge.ledger.engine import Tx

EXPORT, RETAKE = "export", "retake"
_AGAIN = {InboundState.QUARANTINED: InboundEvent.RETRIED, InboundState.PARKED: InboundEvent.ACCEPTED}


# ---------------------------------------------------------------------------------------------------------------- emergency export


def _payment(tx: Tx, reference: str, *, locked: bool) -> OutDocument:
    row = tx.row(
        "SELECT key FROM document WHERE reference = :ref AND kind = :kind", ref=reference, kind=str(DocKind.PAYMENT)
    )
    if row is None:
        raise Refused(f"no payment document is called {reference}", code=Code.UNKNOWN_REF, where=reference)
    return lanes.one(tx, int(row.key), lock=locked)


def _export_body(document: OutDocument, why: str) -> dict[str, Any]:
    if DocumentEvent.EXPORTED not in DOCUMENT[DocumentState(document.state)]:
        what = f"{document.reference} is {document.state}: only a sealed document that is not on its way is exported"
        raise Conflict(what, where=document.reference)
    return {
        "document": document.reference, "name": document.name, "bank": document.bank, "digest": document.digest, "count": document.count,
        "minor": document.minor, "sendings": document.sendings, "why": why,
    }  # fmt: skip


def propose_export(tx: Tx, actor: str, reference: str, why: str) -> dict[str, Any]:
    """The maker's half. Raises Conflict unless the Document is sealed."""
    actors.need_role(tx, actor, actors.MAKER)
    body = _export_body(_payment(tx, reference, locked=False), why)
    actors.propose(tx, actor, EXPORT, f"document:{reference}", body)
    return body


def approve_export(tx: Tx, actor: str, reference: str) -> OutDocument:
    """The checker's half: it is in doubt and its wire is blocked for it before anybody gets its bytes. Never back to sealed."""
    actors.need_role(tx, actor, actors.CHECKER)
    subject = f"document:{reference}"
    document = _payment(tx, reference, locked=True)
    why = _proposed(tx, EXPORT, subject)["why"]
    body = _export_body(document, why)
    row = actors.decide(tx, actor, EXPORT, subject, body)
    lanes.move_document(
        tx, document, DocumentEvent.EXPORTED, what="exported by hand", exported=True, last_sending_ms=tx.now_ms
    )
    audit.append(tx, actor, f"{EXPORT}.approved", subject, {**body, "maker": row.maker})
    return document


def exported_again(tx: Tx, actor: str, reference: str) -> OutDocument:
    """The same bytes once more, of what two people exported: the first copy was lost on its way. An Act of one of them."""
    document = _payment(tx, reference, locked=True)
    if not document.exported:
        raise Refused(f"{reference} was not exported", where=reference)
    body = {"name": document.name, "digest": document.digest}
    audit.append(tx, actor, f"{EXPORT}.written", f"document:{reference}", body)
    return document


def _proposed(tx: Tx, kind: str, subject: str) -> dict[str, Any]:
    """The open proposal's body. Raises Conflict where there is none."""
    waiting = actors.find(tx, kind, subject)
    if waiting is None:
        raise Conflict(f"no open proposal: {kind} of {subject}", where=subject)
    body: dict[str, Any] = msgspec.json.decode(waiting.body)
    return body


# ---------------------------------------------------------------------------------------------------------------- arrived Documents


def arrived(
    tx: Tx, states: Sequence[str] = (), bank: str = "", key: int = 0, channel: str = "", most: int = 1_000
) -> list[dict[str, Any]]:
    """Documents in, newest first, with what stands about them; of these states (all for none), one bank, or one key."""
    listed = ", ".join(f"'{InboundState(state)}'" for state in states or InboundState)
    rows = tx.rows(
        "SELECT key, bank, name, digest, size, channel, state, kind, reference, original, seal_by, count, minor, code, what, received_ms, "
        f"applied_ms FROM inbound WHERE state IN ({listed}) AND (:bank = '' OR bank = :bank) AND (:key = 0 OR key = :key) "
        "AND (:channel = '' OR channel = :channel) ORDER BY key DESC LIMIT :most",
        bank=bank, key=key, channel=channel, most=most,
    )  # fmt: skip
    return [dict(row._mapping) for row in rows]


def _retake_body(tx: Tx, key: int, why: str) -> dict[str, Any]:
    row = tx.row(tx.locked("SELECT * FROM inbound WHERE key = :key"), key=key)
    if row is None:
        raise Refused(f"nothing that arrived has the key {key}", code=Code.UNKNOWN_REF, where=str(key))
    if row.state not in _AGAIN:
        raise Conflict(f"{row.name} is {row.state}: only what was quarantined or parked is taken again", where=str(key))
    twin = tx.scalar(
        "SELECT 1 FROM inbound WHERE bank = :bank AND name = :name AND digest = :digest AND state = 'applied'",
        bank=row.bank, name=row.name, digest=row.digest,
    )  # fmt: skip
    if twin:
        raise Refused(f"{row.name} came again with the same bytes and was applied", code=Code.DUP, where=str(key))
    return {
        "bank": row.bank, "name": row.name, "digest": row.digest, "state": row.state, "code": row.code or "", "why": why,
    }  # fmt: skip


def propose_retake(tx: Tx, actor: str, key: int, why: str) -> dict[str, Any]:
    """A maker says that the reason is gone (a pin was added, an answer was ordered) and the Document is to be looked at again."""
    actors.need_role(tx, actor, actors.MAKER)
    body = _retake_body(tx, key, why)
    actors.propose(tx, actor, RETAKE, f"inbound:{key}", body)
    return body


def approve_retake(tx: Tx, actor: str, key: int) -> dict[str, Any]:
    """The checker agrees: quarantined → archived, parked → staged. The lane verifies and applies it by the same rules as at first."""
    actors.need_role(tx, actor, actors.CHECKER)
    subject = f"inbound:{key}"
    body = _retake_body(tx, key, _proposed(tx, RETAKE, subject)["why"])
    row = actors.decide(tx, actor, RETAKE, subject, body)
    before = InboundState(body["state"])
    after = step(INBOUND, before, _AGAIN[before])
    tx.run("UPDATE inbound SET state = :state, code = NULL, what = NULL WHERE key = :key", state=str(after), key=key)
    audit.append(tx, actor, f"{RETAKE}.approved", subject, {**body, "maker": row.maker})
    return {**body, "after": str(after), "maker": row.maker}
