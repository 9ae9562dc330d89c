"""Tables of the tries to pay, of what travels to and from banks for them, and of the sums that must add up."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.core.states import LIVE_OR_PAID
from gateway.edge.ledger.schema.keys import Key, metadata

_LIVE = ", ".join(f"'{state}'" for state in LIVE_OR_PAID)

# ---------------------------------------------------------------------------------------------------------------- tries to pay

attempt = Table(
    "attempt",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("instruction_key", BigInteger, nullable=False),
    Column("lot_key", BigInteger, nullable=False),
    Column("try_no", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("document_key", BigInteger),
    Column("line", Integer),
    Column("result_key", BigInteger),  # the inbound Document that told its outcome
    Column("verdict", Text),
    Column("code", Text),
    Column("bank_ref", Text),
    Column("told", Integer, nullable=False, server_default=text("0")),  # results told to the payer so far
    Index(
        "uq_attempt_live",
        "instruction_key",
        unique=True,
        sqlite_where=text(f"state IN ({_LIVE})"),
        postgresql_where=text(f"state IN ({_LIVE})"),
    ),
    Index("ix_attempt_document_key", "document_key", "line"),
    Index(  # the first try has its Instruction's key; only later ones are looked up
        "ix_attempt_later", "instruction_key", sqlite_where=text("try_no > 1"), postgresql_where=text("try_no > 1")
    ),
)

correction = Table(
    "correction",
    metadata,
    Column("attempt_key", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text),  # the corrected name, or NULL
    Column("account_hash", BigInteger),
    Column("sealed", LargeBinary),  # the corrected account, or NULL
    Column("verifier", Text, nullable=False),
    Column("approver", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    CheckConstraint("verifier <> approver", name="verifier_is_not_approver"),
    CheckConstraint("(name IS NULL) <> (sealed IS NULL)", name="name_or_account"),
    Index("ix_correction_account_hash", "account_hash"),
)

hold = Table(
    "hold",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("attempt_key", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Column("closed_by", Text),
    Index(
        "ix_hold_open",
        "attempt_key",
        sqlite_where=text("closed_ms IS NULL"),
        postgresql_where=text("closed_ms IS NULL"),
    ),
)

case = Table(
    "case_file",
    metadata,
    Column("instruction_key", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt_key", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("waits_for", Text, nullable=False),  # a Move
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
    Column("closed_ms", BigInteger),
    Index("ix_case_file_state", "state"),
)

# ---------------------------------------------------------------------------------------------------------------- what travels

batch = Table(
    "batch",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("bank", Text, nullable=False),
    Column("fund", Text, nullable=False),
    Column("debit_account", Text, nullable=False),
    Column("pay_date", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

document = Table(
    "document",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("batch_key", BigInteger, ForeignKey("batch.key")),
    Column("bank", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reference", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("about_key", BigInteger),  # the Document an inquiry asks about
    Column("digest", Text),  # SHA-256 of the payload
    Column("size", BigInteger),
    Column("seal", LargeBinary),  # detached seal
    Column("seal_name", Text, nullable=False, server_default=text("''")),
    Column("sealed_ms", BigInteger),
    Column("sendings", Integer, nullable=False, server_default=text("0")),
    Column("last_sending_ms", BigInteger),
    Column("exported", Boolean, nullable=False, server_default=text("false")),
    Column("cursor", Text, nullable=False, server_default=text("''")),  # a route's durable place
    Column("inquired_ms", BigInteger),
    Column("inquiries", Integer, nullable=False, server_default=text("0")),
    Column("told", Integer, nullable=False, server_default=text("0")),  # lines whose outcome is told
    Column("code", Text),
    Column("what", Text),
    UniqueConstraint("bank", "day", "kind", "sequence"),
    UniqueConstraint("bank", "name"),
    Index("ix_document_state", "bank", "state"),
)

document_share = Table(  # whose payments a Document carries: whom to tell
    "document_share",
    metadata,
    Column("document_key", BigInteger, ForeignKey("document.key"), nullable=False),
    Column("payer", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("document_key", "payer"),
)

inbound = Table(
    "inbound",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("bank", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("kind", Text),
    Column("reference", Text),
    Column("original", Text),  # reference of the Document that it answers
    Column("seal", LargeBinary),
    Column("seal_by", Text),  # which pinned certificate
    Column("count", BigInteger),
    Column("minor", BigInteger),
    Column("code", Text),
    Column("what", Text),
    Column("received_ms", BigInteger, nullable=False),
    Column("applied_ms", BigInteger),
    Index(
        "uq_inbound_applied",
        "bank",
        "name",
        "digest",
        unique=True,
        sqlite_where=text("state = 'applied'"),
        postgresql_where=text("state = 'applied'"),
    ),
    Index("ix_inbound_state", "state"),
    Index("ix_inbound_original", "original"),
)

parked = Table(
    "parked",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("inbound_key", BigInteger, nullable=False),
    Column("bank", Text, nullable=False),
    Column("document_key", BigInteger),
    Column("attempt_key", BigInteger),
    Column("ref", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("raw", Text, nullable=False),  # the bank's word on the line, as JSON
    Column("at_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Column("closed_by", Text),
    Index(
        "ix_parked_open",
        "document_key",
        sqlite_where=text("closed_ms IS NULL"),
        postgresql_where=text("closed_ms IS NULL"),
    ),
)

lane = Table(
    "lane",
    metadata,
    Column("bank", Text, primary_key=True),
    Column("state", Text, CheckConstraint("state IN ('running', 'stopped')", name="state"), nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("owner", Text, nullable=False, server_default=text("''")),
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("until_ms", BigInteger, nullable=False, server_default=text("0")),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("message_id", Text, nullable=False, unique=True),
    Column("routing_key", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("published_ms", BigInteger),
    Index(
        "ix_outbox_waiting",
        "seq",
        sqlite_where=text("published_ms IS NULL"),
        postgresql_where=text("published_ms IS NULL"),
    ),
)

# ---------------------------------------------------------------------------------------------------------------- conservation

control = Table(
    "control",
    metadata,
    Column("view", Text, CheckConstraint("view IN ('origin', 'own')", name="view"), nullable=False),
    Column("run_key", BigInteger, nullable=False),
    Column("bank", Text, nullable=False),
    Column("part", Text, nullable=False),  # an AttemptState, or: ordered, moved_in, moved_out
    Column("count", BigInteger, nullable=False),
    Column("minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("view", "run_key", "bank", "part"),
)
