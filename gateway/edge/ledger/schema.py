"""The ledger's tables. Same schema on SQLite and PostgreSQL; alembic migrations beside it are kept equal by a test.

Conventions: keys are integers in time order (``run.key`` is allotted, ``instruction.key = run.key * 10**8 + ordinal``, and the first Attempt has its
Instruction's key); instants are integer milliseconds UTC in columns ending ``_ms``; dates are ISO text; money is fen in columns called
``amount`` or ``minor``; account and id numbers stand only in ``sealed`` (AES-GCM) and as keyed 64-bit hashes.
"""

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
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.core.states import LIVE_OR_PAID

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
#: Autoincrementing keys: SQLite wants INTEGER for that, PostgreSQL BIGINT.
Key = BigInteger().with_variant(Integer, "sqlite")
#: Lines of one Run are numbered below this: ``instruction.key // RUN_SPAN == run.key``.
RUN_SPAN = 10**8

_LIVE = ", ".join(f"'{state}'" for state in LIVE_OR_PAID)

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
    Index("ix_instruction_person_hash", "person_hash"),
    Index("ix_instruction_account_hash", "account_hash"),
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
