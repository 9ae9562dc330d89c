"""Actors, and proposals: whatever changes who gets paid or lets money go takes a maker and a different checker (P12).

The database itself refuses a row whose maker is its checker; the checks here only give the better sentence.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

import msgspec

from gateway.core.errors import Code, Conflict, Refused
from gateway.edge.ledger import audit
from gateway.edge.ledger.engine import Tx

MAKER, CHECKER, ADMIN = "maker", "checker", "admin"
ROLES = frozenset({"viewer", "operator", MAKER, CHECKER, "auditor", ADMIN})
ACTOR = "actor"
# scrypt cost: 2^15 × 8 × 128 bytes = 32 MiB and about 80 ms a try, OWASP's floor for interactive sign-in.
_SCRYPT = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024}
_canonical = msgspec.json.Encoder(order="sorted").encode


def add_actor(tx: Tx, by: str, actor: str, name: str, roles: frozenset[str], secret: str) -> None:
    """The first people of an installation, each with a credential of their own: while there are fewer than two admins.

    Raises Refused for unknown roles or an admin who would be maker or checker, and POLICY once two admins can decide together (or where
    the only admin adds anybody but the second); Conflict if the id is taken.
    """
    admins = _admins(tx)
    if len(admins) > 1:
        raise Refused("there are two administrators: one proposes, another one approves")
    if admins and roles != {ADMIN}:
        raise Refused(f"{admins[0]} is the only administrator and adds nobody but a second one alone")
    _insert(tx, actor, name, roles, secret, active=True)
    audit.append(tx, by, "actor.added", f"actor:{actor}", {"name": name, "roles": sorted(roles), "first": True})


def propose_actor(tx: Tx, by: str, actor: str, name: str, roles: frozenset[str], secret: str) -> dict[str, Any]:
    """One administrator's half: the new person is known, and cannot act yet. Raises as ``add_actor``."""
    need_role(tx, by, ADMIN)
    subject = f"actor:{actor}"
    if find(tx, ACTOR, subject):
        raise Conflict(f"{actor} is proposed already", where=subject)
    _insert(tx, actor, name, roles, secret, active=False)
    body = {"name": name, "roles": sorted(roles)}
    propose(tx, by, ACTOR, subject, body, role=ADMIN)
    return body


def approve_actor(tx: Tx, by: str, actor: str) -> dict[str, Any]:
    """Another administrator's half: the new person can act."""
    subject = f"actor:{actor}"
    row = tx.row("SELECT name, roles FROM actor WHERE id = :id AND NOT active", id=actor)
    body = {"name": row.name, "roles": row.roles.split()} if row else {}
    found = decide(tx, by, ACTOR, subject, body, role=ADMIN)
    tx.run("UPDATE actor SET active = true WHERE id = :id", id=actor)
    audit.append(tx, by, "actor.added", subject, {**body, "maker": found.maker})
    return {**body, "maker": found.maker}


def decline_actor(tx: Tx, by: str, actor: str) -> None:
    """An administrator says no, or the one who proposed takes it back: the new person is gone, their id is free."""
    subject = f"actor:{actor}"
    need_role(tx, by, ADMIN)
    waiting = find(tx, ACTOR, subject)
    if waiting is not None and waiting.maker == by:
        withdraw_proposal(tx, by, ACTOR, subject)
    else:
        decide(tx, by, ACTOR, subject, None, approve=False, role=ADMIN)
        audit.append(tx, by, f"{ACTOR}.declined", subject, {})
    tx.run("DELETE FROM actor WHERE id = :id AND NOT active", id=actor)


def _admins(tx: Tx) -> list[str]:
    rows = tx.rows(tx.locked("SELECT id, roles FROM actor WHERE active ORDER BY id"))
    return [row.id for row in rows if ADMIN in row.roles.split()]


def _insert(tx: Tx, actor: str, name: str, roles: frozenset[str], secret: str, *, active: bool) -> None:
    if not roles or roles - ROLES:
        raise Refused(f"no such role: {', '.join(sorted(roles - ROLES)) or 'none given'}")
    if ADMIN in roles and roles & {MAKER, CHECKER}:
        raise Refused("an administrator is never maker or checker: who adds people lets no money go")
    if tx.row("SELECT 1 FROM actor WHERE id = :id", id=actor):
        raise Conflict(f"the Actor {actor} exists")
    salt = os.urandom(16)
    credential = f"{salt.hex()}:{hashlib.scrypt(secret.encode(), salt=salt, **_SCRYPT).hex()}"
    tx.run(
        "INSERT INTO actor (id, name, kind, roles, credential, active, created_ms) VALUES (:id, :name, 'person', :roles, :cred, :active, :now)",
        id=actor, name=name, roles=" ".join(sorted(roles)), cred=credential, active=active, now=tx.now_ms,
    )  # fmt: skip


def actors(tx: Tx) -> list[dict[str, Any]]:
    """All Actors, without their credentials."""
    return [
        {"id": r.id, "name": r.name, "roles": r.roles.split(), "active": bool(r.active)}
        for r in tx.rows("SELECT * FROM actor ORDER BY id")
    ]


def authenticate(tx: Tx, actor: str, secret: str) -> None:
    """Raises Refused AUTH unless the secret is that Actor's; the same sentence whatever was wrong."""
    row = tx.row("SELECT credential FROM actor WHERE id = :id AND active", id=actor)
    salt, _, digest = (row.credential if row and row.credential else f"{bytes(16).hex()}:").partition(":")
    tried = hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), **_SCRYPT).hex()
    if not (row and hmac.compare_digest(tried, digest)):
        raise Refused(f"{actor} could not be signed in: no such active Actor, or another secret", code=Code.AUTH)


def need_role(tx: Tx, actor: str, role: str) -> None:
    """Raises Refused AUTH unless the Actor is active and has the role."""
    row = tx.row("SELECT roles FROM actor WHERE id = :id AND active", id=actor)
    if row is None or role not in row.roles.split():
        raise Refused(f"{actor} is not an active {role}", code=Code.AUTH)


def propose(
    tx: Tx,
    actor: str,
    kind: str,
    subject: str,
    body: dict[str, Any],
    *,
    role: str = MAKER,
    chain: dict[str, Any] | None = None,
) -> int:
    """Lay something before the second person. Raises Conflict while another proposal on the same subject is open.

    ``chain``: what the audit chain keeps instead of a ``body`` that is long.
    """
    need_role(tx, actor, role)
    if open_ := find(tx, kind, subject):
        raise Conflict(f"{kind} of {subject} is proposed already, by {open_.maker}", where=subject)
    key = tx.scalar(
        "INSERT INTO proposal (kind, subject, body, maker, proposed_ms) VALUES (:kind, :subject, :body, :maker, :now) RETURNING key",
        kind=kind, subject=subject, body=_canonical(body).decode(), maker=actor, now=tx.now_ms,
    )  # fmt: skip
    audit.append(tx, actor, f"{kind}.proposed", subject, body if chain is None else chain)
    return int(key)


def find(tx: Tx, kind: str, subject: str) -> Any | None:
    """The open proposal on a subject, locked."""
    return tx.row(
        tx.locked("SELECT * FROM proposal WHERE kind = :kind AND subject = :subject AND decision IS NULL"),
        kind=kind,
        subject=subject,
    )


def decide(
    tx: Tx,
    actor: str,
    kind: str,
    subject: str,
    body: dict[str, Any] | None,
    *,
    approve: bool = True,
    role: str = CHECKER,
) -> Any:
    """The second person's word; returns the proposal.

    ``body`` is what stands now: approving something that changed since it was proposed is refused (the checker approves what the maker saw).
    Raises Refused AUTH for the maker, or without the role; Conflict if nothing is open or the content differs.
    """
    need_role(tx, actor, role)
    row = find(tx, kind, subject)
    if row is None:
        raise Conflict(f"no open proposal: {kind} of {subject}", where=subject)
    if row.maker == actor:
        raise Refused(f"{actor} proposed it and cannot decide it as well", code=Code.AUTH, where=subject)
    if approve and body is not None and _canonical(body).decode() != row.body:
        raise Conflict(f"{subject} changed since {row.maker} proposed: withdraw and propose again", where=subject)
    decision = "approved" if approve else "declined"
    tx.run(
        "UPDATE proposal SET checker = :checker, decided_ms = :now, decision = :decision WHERE key = :key",
        checker=actor, now=tx.now_ms, decision=decision, key=row.key,
    )  # fmt: skip
    return row


def withdraw_proposal(tx: Tx, actor: str, kind: str, subject: str) -> None:
    """The maker takes it back."""
    row = find(tx, kind, subject)
    if row is None or row.maker != actor:
        raise Conflict(f"{actor} has no open proposal: {kind} of {subject}", where=subject)
    tx.run(
        "UPDATE proposal SET checker = :actor, decided_ms = :now, decision = 'withdrawn' WHERE key = :key",
        actor=actor, now=tx.now_ms, key=row.key,
    )  # fmt: skip
    audit.append(tx, actor, f"{kind}.proposal_withdrawn", subject, {})


def proposals(tx: Tx) -> list[dict[str, Any]]:
    """What waits for a second person, oldest first."""
    return [
        {
            "kind": r.kind,
            "subject": r.subject,
            "maker": r.maker,
            "proposed_ms": int(r.proposed_ms),
            "body": msgspec.json.decode(r.body),
        }
        for r in tx.rows("SELECT * FROM proposal WHERE decision IS NULL ORDER BY key")
    ]
