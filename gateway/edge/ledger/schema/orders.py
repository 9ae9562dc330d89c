"""Tables of who did what, and of what was ordered."""

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

from gateway.edge.ledger.schema.keys import Key, metadata

# ---------------------------------------------------------------------------------------------------------------- who did what

actor = Table(
    "actor",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, CheckConstraint("kind IN ('person', 'service')", name="kind"), nullable=False),
    Column("roles", Text, nullable=False),  # space-separated
    Column("credential", Text),  # salted scrypt of the Actor's own secret; NULL: cannot sign in
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("created_ms", BigInteger, nullable=False),
)

act = Table(
    "act",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # gapless: part of what is hashed
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),  # canonical JSON
    Column("hash", LargeBinary, nullable=False),  # SHA-256(previous hash || canonical row)
    Index("ix_act_subject", "subject"),
)

proposal = Table(
    "proposal",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),  # canonical JSON of exactly what is to be approved
    Column("maker", Text, nullable=False),
    Column("proposed_ms", BigInteger, nullable=False),
    Column("checker", Text),
    Column("decided_ms", BigInteger),
    Column("decision", Text, CheckConstraint("decision IN ('approved', 'declined', 'withdrawn')", name="decision")),
    CheckConstraint("checker IS NULL OR checker <> maker OR decision = 'withdrawn'", name="maker_is_not_checker"),
    CheckConstraint("(checker IS NULL) = (decision IS NULL)", name="decided_by_someone"),
    Index(
        "uq_proposal_open",
        "kind",
        "subject",
        unique=True,
        sqlite_where=text("decision IS NULL"),
        postgresql_where=text("decision IS NULL"),
    ),
)

# ---------------------------------------------------------------------------------------------------------------- what was ordered

inbox = Table(
    "inbox",
    metadata,
    Column("source", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("source", "message_id"),
)

counter = Table(
    "counter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("payer", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("kind", Text),  # this and the next dozen are NULL until the header is here
    Column("line", Text),
    Column("period", Text),
    Column("district", Text),
    Column("fund", Text),
    Column("debit_account", Text),
    Column("pay_date", Text),
    Column("on_bad_line", Text),
    Column("declared_count", BigInteger),
    Column("declared_minor", BigInteger),
    Column("declared_chunks", Integer),
    Column("header_digest", LargeBinary),
    Column(
        "gathered", Boolean, nullable=False, server_default=text("false")
    ),  # filled one by one by the gateway itself
    Column("early", Boolean, nullable=False, server_default=text("false")),  # released to go before its pay date
    Column("code", Text),  # why it is held or rejected
    Column("what", Text),
    Column("received_ms", BigInteger, nullable=False),
    Column("accepted_ms", BigInteger),
    Column("released_ms", BigInteger),
    Column("closed_ms", BigInteger),
    Index(
        "uq_run_id",
        "payer",
        "run_id",
        unique=True,
        sqlite_where=text("state <> 'rejected'"),
        postgresql_where=text("state <> 'rejected'"),
    ),
    Index("ix_run_same_payroll", "payer", "line", "district", "period", "kind"),
    Index("ix_run_state", "state"),
)

early = Table(  # chunks that came before their header
    "early",
    metadata,
    Column("payer", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # sealed
    PrimaryKeyConstraint("payer", "message_id"),
)

chunk = Table(
    "chunk",
    metadata,
    Column("run_key", BigInteger, ForeignKey("run.key"), nullable=False),
    Column("no", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("count", Integer, nullable=False),  # lines in it, bad ones included
    Column("minor", BigInteger, nullable=False),  # fen of the lines that could be read
    Column("bad", Integer, nullable=False),
    PrimaryKeyConstraint("run_key", "no"),
)

lot = Table(
    "lot",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("run_key", BigInteger, ForeignKey("run.key"), nullable=False),
    Column(
        "origin_key", BigInteger, ForeignKey("run.key"), nullable=False
    ),  # the Run that ordered it; differs in a second payment
    Column("bank", Text, nullable=False),
    Column("fund", Text, nullable=False),
    Column("debit_account", Text, nullable=False),
    Column("pay_date", Text, nullable=False),
    Column("line", Text, nullable=False),
    UniqueConstraint("run_key", "origin_key", "bank", "fund", "debit_account", "pay_date", "line"),
)

instruction = Table(
    "instruction",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "run_key", BigInteger, nullable=False
    ),  # = key // RUN_SPAN, kept for reading; no foreign key: 370,000 look-ups for nothing
    Column("lot_key", BigInteger, nullable=False),
    Column("payer", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of the content: same id with another digest is CONFLICT
    Column("person_hash", BigInteger, nullable=False),
    Column("account_hash", BigInteger, nullable=False),
    Column(
        "same_hash", BigInteger, nullable=False
    ),  # of person, amount, item, sequence and period: who is paid what for when
    Column("name", Text, nullable=False),  # of the payee
    Column("amount", BigInteger, CheckConstraint("amount > 0", name="amount"), nullable=False),
    Column("item", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("period", Text, nullable=False),
    Column("district", Text, nullable=False),
    Column("relation", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("doubt", Text),  # code of a Hold that it is born with, e.g. NAME_ID
    Column("sealed", LargeBinary, nullable=False),  # account, alternative account, id numbers
    Column(
        "rejected", Boolean, nullable=False, server_default=text("false")
    ),  # its Run was rejected: the id is free again
    Index(
        "uq_instruction_id",
        "payer",
        "id",
        unique=True,
        sqlite_where=text("NOT rejected"),
        postgresql_where=text("NOT rejected"),
    ),
)

lookup = Table(  # the three hashes of an instruction; filled in their order at acceptance: line by line every one would touch a page of its own
    "lookup",
    metadata,
    Column("hash", BigInteger, nullable=False),
    Column("instruction_key", BigInteger, nullable=False),
    PrimaryKeyConstraint("hash", "instruction_key"),
    sqlite_with_rowid=False,
)

line_error = Table(
    "line_error",
    metadata,
    Column("run_key", BigInteger, nullable=False),
    Column("ordinal", BigInteger, nullable=False),
    Column("instruction_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("where", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("fatal", Boolean, nullable=False),  # False: a warning
    Column("raw", LargeBinary),  # the line's own bytes, sealed
    Index("ix_line_error_run_key", "run_key"),
)
