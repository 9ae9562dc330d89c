"""A story told to the ledger: given these instructions, when the bank answers this, then these states, events, controls and Acts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

import msgspec

from gateway.core import batching, contracts
from gateway.core.bank import DocKind, Limits, Reason, Row
from gateway.core.contracts import Instruction, InstructionSubmitted, RunSubmitted
from gateway.core.ledger import Application, Applied, BadLine, Chunk, Line, LotGroup, Meta, OutDocument, Ranks, Recorded
from gateway.core.money import Totals
from gateway.core.results import Told
from gateway.core.states import DocumentEvent, DocumentState
from gateway.core.verdicts import Judgement, Outcome, Verdict
from gateway.edge.clock import ManualClock
from gateway.edge.ledger import SqlLedger
from gateway.edge.ledger.engine import R, Tx

NORTH, SOUTH = "NORTH", "SOUTH"
PAYER, OTHER_PAYER = "PENSION", "INJURY"
MAKER, CHECKER, BOTH = "mei", "chen", "wu"
START = dt.datetime(2015, 6, 10, 1, 0, tzinfo=dt.UTC)
TODAY = dt.date(2015, 6, 10)
FINAL_AT_ONCE = {NORTH: 0, SOUTH: 0}
LIMITS = Limits()
VERDICTS = {
    Outcome.PAID: Verdict.PAID,
    Outcome.FAILED: Verdict.CARD_LOST,
    Outcome.REFUSED: Verdict.FORMAT_REFUSED,
    Outcome.UNKNOWN: Verdict.DUPLICATE,
    Outcome.PENDING: Verdict.RECEIVED,
    Outcome.RETURNED: Verdict.ACCOUNT_CLOSED,
}
_encode = msgspec.json.Encoder().encode


class Event(NamedTuple):
    """One event as a payer gets it."""

    name: str
    payer: str
    data: Any


class Word(NamedTuple):
    """What a bank tells of one line; ``ref`` is an instruction's id (its latest try; ``A#1`` its first) or the reference itself."""

    ref: str | int
    outcome: Outcome
    amount: int | None = -1  # -1: as ordered
    verdict: Verdict | None = None
    currency: str = "CNY"
    name: str = ""
    account: str = ""
    code: str = ""


class Trap:
    """Crash points that raise instead of ending the process."""

    def __init__(self) -> None:
        self.at = ""
        self.passed: list[str] = []

    def reach(self, name: str) -> None:
        """Go on, or fall."""
        self.passed.append(name)
        if name == self.at:
            raise Fallen(name)


class Fallen(Exception):
    """The process would have died here."""


class Naming:
    """References and names as a configured Bank makes them."""

    def __init__(self, bank: str, day: dt.date, mark: str = "") -> None:
        self.bank, self.day, self.mark = bank, day, mark

    def __call__(self, sequence: int) -> tuple[str, str]:
        """(reference, file name)."""
        reference = batching.reference(self.bank, self.day, sequence, mark=self.mark)
        return reference, f"{reference}.pay"


def pay(id_: str, amount: int = 100_00, *, bank: str = NORTH, person: str = "", **more: Any) -> Instruction:
    """One payment. Another id is another person, unless ``person`` says so."""
    number = int.from_bytes(blake2b((person or id_).encode(), digest_size=4).digest())
    values = {
        "id": id_,
        "person": {"name": "王小明", "id_number": f"44060{number:013}"},
        "bank": bank,
        "account": f"6228480{number:012}",
        "amount": amount,
    }
    if party := more.pop("party", None):
        values["person"] = party
    return msgspec.convert(values | more, Instruction)


class Story:
    """One ledger, its clock and whoever acts on it."""

    def __init__(self, ledger: SqlLedger, clock: ManualClock, trap: Trap, url: str) -> None:
        self.ledger, self.clock, self.trap, self.url = ledger, clock, trap, url
        self.conserved = True  # a test that breaks the books on purpose says False
        self._messages = 0
        self._answers = 0
        self._epochs: dict[str, int] = {}

    @property
    def postgresql(self) -> bool:
        """Whether this is the production ledger."""
        return self.url.startswith("postgresql")

    # ------------------------------------------------------------------------------------------------------ looking

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        """What a query finds."""
        return await self.ledger.driver.read(lambda tx: tx.rows(sql, **values))

    async def value(self, sql: str, **values: Any) -> Any:
        """The one value that a query finds."""
        return await self.ledger.driver.read(lambda tx: tx.scalar(sql, **values))

    async def change(self, sql: str, **values: Any) -> int:
        """Past all operations: what somebody with the database's password could do; returns how many rows."""
        return await self.ledger.driver.write(lambda tx: tx.run(sql, **values).rowcount)

    async def do(self, operation: Callable[[Tx], R]) -> R:
        """Run a plain operation in a transaction of its own."""
        return await self.ledger.driver.write(operation)

    async def tries(self, id_: str, payer: str = PAYER) -> list[str]:
        """States of all tries of one instruction, in order."""
        found = await self.rows(
            "SELECT a.state FROM attempt AS a JOIN instruction AS i ON i.key = a.instruction_key "
            "WHERE i.id = :id AND i.payer = :payer AND NOT i.rejected ORDER BY a.try_no",
            id=id_, payer=payer,
        )  # fmt: skip
        return [row.state for row in found]

    async def states(self) -> dict[str, str]:
        """Every instruction with the state of its latest try."""
        found = await self.rows(
            "SELECT i.id, a.state FROM attempt AS a JOIN instruction AS i ON i.key = a.instruction_key ORDER BY a.try_no"
        )
        return {row.id: row.state for row in found}

    async def key(self, id_: str, payer: str = PAYER) -> int:
        """Key of the latest try, or of the second with ``A#2``: the reference that a bank tells."""
        id_, _, try_no = id_.partition("#")
        found = await self.rows(
            "SELECT a.key FROM attempt AS a JOIN instruction AS i ON i.key = a.instruction_key "
            "WHERE i.id = :id AND i.payer = :payer AND NOT i.rejected AND (:no = 0 OR a.try_no = :no) ORDER BY a.try_no DESC",
            id=id_, payer=payer, no=int(try_no or 0),
        )  # fmt: skip
        return int(found[0].key)

    async def run_state(self, run_id: str) -> str:
        """State of the newest Run of that id."""
        return str(await self.value("SELECT state FROM run WHERE run_id = :id ORDER BY key DESC LIMIT 1", id=run_id))

    async def holds(self, id_: str) -> list[str]:
        """Reasons of the open Holds on an instruction."""
        found = await self.rows(
            "SELECT h.reason FROM hold AS h JOIN attempt AS a ON a.key = h.attempt_key JOIN instruction AS i "
            "ON i.key = a.instruction_key WHERE i.id = :id AND h.closed_ms IS NULL ORDER BY h.key",
            id=id_,
        )
        return [row.reason for row in found]

    async def parked(self) -> list[tuple[str, str]]:
        """(code, reference) of open parked lines."""
        return [
            (row.code, row.ref) for row in await self.rows("SELECT * FROM parked WHERE closed_ms IS NULL ORDER BY key")
        ]

    async def acts(self, kind: str = "") -> list[Any]:
        """Acts on the chain, in order."""
        return await self.rows("SELECT * FROM act WHERE :kind = '' OR kind = :kind ORDER BY seq", kind=kind)

    async def control(self, run_id: str, view: str = "origin") -> dict[str, dict[str, tuple[int, int]]]:
        """Bank → part → (count, fen), without zeros."""
        found = await self.rows(
            "SELECT c.bank, c.part, c.count, c.minor FROM control AS c JOIN run AS r ON r.key = c.run_key "
            "WHERE r.run_id = :run AND c.view = :view AND (c.count <> 0 OR c.minor <> 0)",
            run=run_id, view=view,
        )  # fmt: skip
        line: dict[str, dict[str, tuple[int, int]]] = {}
        for row in found:
            line.setdefault(row.bank, {})[row.part] = (int(row.count), int(row.minor))
        return line

    async def told(self, *names: str) -> list[Event]:
        """Events since the last call, decoded by the contract; of these names, if any are given."""
        found = []
        for seq, message_id, routing_key, body in await self.ledger.outbox_page(100_000):
            envelope = msgspec.json.decode(body, type=contracts.Envelope)
            assert envelope.id == message_id
            payer, _, name = routing_key.partition(".")
            assert name == envelope.type
            found.append(Event(name, payer, msgspec.json.decode(envelope.data, type=contracts.OUTBOUND[name])))
            await self.ledger.outbox_done([seq])
        return [event for event in found if not names or event.name in names]

    async def results(self) -> list[tuple[str, int, int, str]]:
        """(instruction, try, sequence, outcome) told since the last call."""
        return [
            (result.instruction_id, result.attempt, result.sequence, result.outcome)
            for event in await self.told("payment.results")
            for result in event.data.results
        ]

    # ------------------------------------------------------------------------------------------------------ payers

    def meta(self, payer: str = PAYER, body: bytes = b"", message: str = "") -> Meta:
        """A message of its own."""
        self._messages += 1
        name = message or f"m-{self._messages}"
        return Meta(payer, name, sha256(body or name.encode()).digest())

    async def header(self, run_id: str, count: int, total: int, *, chunks: int = 1, meta: Meta | None = None, **more: Any) -> Recorded:  # fmt: skip
        """``run.submitted``."""
        payer = more.pop("payer", PAYER)
        values = {"kind": "regular", "line": "pension", "period": "2015-06", "fund": "pension", "debit_account": "990001",
                  "pay_date": "2015-06-15", **more}  # fmt: skip
        header = msgspec.convert(
            {"run_id": run_id, "count": count, "total": total, "chunks": chunks, **values}, RunSubmitted
        )
        return await self.ledger.record_header(meta or self.meta(payer), header)

    async def chunk(
        self, run_id: str, no: int, *lines: Instruction | Line, bad: Sequence[BadLine] = (), payer: str = PAYER, meta: Meta | None = None
    ) -> Recorded:  # fmt: skip
        """``run.chunk`` number ``no``."""
        return await self.ledger.record_chunk(meta or self.meta(payer), chunk(run_id, no, lines, bad))

    async def conclude(self) -> dict[str, str]:
        """Conclude every complete Run: run → state."""
        return {run.run_id: await self.ledger.conclude_intake(run.key, []) for run in await self.ledger.complete_runs()}

    async def submit(
        self, run_id: str, *lines: Instruction | Line, bad: Sequence[BadLine] = (), payer: str = PAYER, **more: Any
    ) -> str:
        """A whole Run in one chunk, concluded; its state."""
        amounts = [(line.instruction if isinstance(line, Line) else line).amount for line in lines]
        fatal = [line for line in bad if line.fatal]
        total = sum(amounts) + sum(line.amount for line in fatal)
        await self.header(run_id, len(amounts) + len(fatal), total, payer=payer, **more)
        await self.chunk(run_id, 1, *lines, bad=bad, payer=payer)
        return (await self.conclude())[run_id]

    async def single(self, instruction: Instruction, *, meta: Meta | None = None, **more: Any) -> Recorded:
        """``instruction.submitted``."""
        values = {
            "line": "medical",
            "fund": "medical",
            "debit_account": "990002",
            "period": "2015-06",
            "pay_date": "2015-06-15",
            **more,
        }
        message = msgspec.convert({"instruction": msgspec.to_builtins(instruction), **values}, InstructionSubmitted)
        digest = blake2b(b"single\0" + _encode(instruction), digest_size=16).digest()
        return await self.ledger.record_single(meta or self.meta(), message, Line(1, instruction, digest), self.today())

    async def repay(
        self,
        id_: str,
        correction: Any = None,
        *,
        final: dict[str, int] | None = None,
        debits: dict[str, dict[str, str]] | None = None,
        payer: str = PAYER,
    ) -> None:
        """``instruction.repay``; ``final``: how many minutes each bank may still correct a FAIL; ``debits``: our accounts, as configured."""
        values = {"instruction_id": id_, "reason": "mended"} | ({"correction": correction} if correction else {})
        message = msgspec.convert(values, contracts.InstructionRepay)
        await self.ledger.repay(self.meta(payer), message, FINAL_AT_ONCE if final is None else final, debits or {})

    async def withdraw(self, id_: str, payer: str = PAYER) -> None:
        """``instruction.withdraw``."""
        await self.ledger.withdraw(self.meta(payer), id_, "died")

    # ------------------------------------------------------------------------------------------------------ two people

    async def release(self, run_id: str, *, early: bool = False, payer: str = "") -> None:
        """A maker proposes, a checker approves."""
        await self.ledger.propose_release(MAKER, run_id, payer, early)
        await self.ledger.approve_release(CHECKER, run_id, payer)

    async def free(self, run_id: str, reason: str = "") -> int:
        """Two people let held payments go; how many Holds."""
        await self.ledger.propose_free(MAKER, run_id, reason)
        return await self.ledger.approve_free(CHECKER, run_id, reason)

    # ------------------------------------------------------------------------------------------------------ a lane

    def today(self) -> dt.date:
        """The date in China."""
        return (self.clock.now() + dt.timedelta(hours=8)).date()

    async def epoch(self, bank: str = NORTH) -> int:
        """The lane, leased by this process."""
        epoch = await self.ledger.lane_lease(bank, "here", 60)
        assert epoch is not None
        return epoch

    async def file(self, bank: str = NORTH, limits: Limits = LIMITS) -> list[OutDocument]:
        """File whatever is ready, as a lane plans it; the new Documents."""
        keys = []
        for group in await self.ledger.ready_groups(bank):
            keys += await self.file_group(group, limits)
        return [document for document in await self.documents(bank) if document.key in keys]

    async def file_group(self, group: LotGroup, limits: Limits = LIMITS) -> list[int]:
        """File one group under the limits."""
        amounts = await self.ledger.group_amounts(group)
        whole = batching.Group(group.bank, group.fund, group.debit_account, group.pay_date, amounts, group.line)
        ranks = [Ranks(planned.first_rank, planned.last_rank) for planned in batching.plan([whole], limits)]
        naming = Naming(group.bank, self.today())
        return await self.ledger.file_batch(group, await self.epoch(group.bank), ranks, naming, self.today())

    async def documents(self, bank: str = NORTH) -> list[OutDocument]:
        """All Documents of a lane."""
        return await self.ledger.documents(bank, list(DocumentState))

    async def document(self, key: int) -> OutDocument:
        """One Document as it is now."""
        row = (await self.rows("SELECT bank FROM document WHERE key = :key", key=key))[0]
        return next(document for document in await self.documents(row.bank) if document.key == key)

    async def seal(self, document: OutDocument) -> bool:
        """open → sealed."""
        digest = sha256(document.reference.encode()).hexdigest()
        return await self.ledger.mark_sealed(
            document.key, await self.epoch(document.bank), digest, 99, b"seal", "s.p7s"
        )

    async def travel(self, document: OutDocument, event: DocumentEvent = DocumentEvent.DELIVERED) -> str:
        """sealed → sending → how it ended."""
        epoch = await self.epoch(document.bank)
        assert await self.ledger.mark_sending(document.key, epoch)
        return await self.ledger.mark_travelled(document.key, epoch, event)

    async def dispatch(self, bank: str = NORTH, limits: Limits = LIMITS) -> list[OutDocument]:
        """File, seal and send whatever is ready."""
        filed = await self.file(bank, limits)
        for document in filed:
            await self.seal(document)
            await self.travel(document)
        return [await self.document(document.key) for document in filed]

    async def paying(self, run_id: str, *lines: Instruction | Line, **more: Any) -> OutDocument:
        """A Run submitted, released and sent in one Document to NORTH."""
        assert await self.submit(run_id, *lines, **more) == "accepted"
        await self.release(run_id)
        (document,) = await self.dispatch()
        return document

    # ------------------------------------------------------------------------------------------------------ a bank

    async def arrive(self, name: str = "", bank: str = NORTH, content: str = "") -> tuple[int, Recorded]:
        """A Document arrives and is recorded."""
        self._answers += 1
        name = name or f"answer-{self._answers}"
        digest = sha256((content or name).encode()).hexdigest()
        return await self.ledger.record_inbound(bank, name, digest, 100, "folder", None)

    async def answer(
        self, document: OutDocument | None, *words: Word, event: str = "", bank: str = NORTH, kind: DocKind = DocKind.RESULT, code: str = ""
    ) -> Applied:  # fmt: skip
        """The bank answers; applied whole. Without a Document it names none of ours, as a notice of returns."""
        key, recorded = await self.arrive(bank=document.bank if document else bank)
        assert recorded is Recorded.NEW
        return await self.apply(key, document, await self.telling(words), event=event, kind=kind, code=code)

    async def apply(
        self, inbound_key: int, document: OutDocument | None, told: Told, *, event: str = "", kind: DocKind = DocKind.RESULT, code: str = ""
    ) -> Applied:  # fmt: skip
        """Apply what has arrived."""
        application = Application(
            inbound_key=inbound_key,
            kind=kind,
            reference=f"R{inbound_key}",
            original=document.reference if document else "",
            seal_by="north-2015",
            totals=Totals(len(told), 0),
            document_key=document.key if document else None,
            document_event=event,
            document_code=code,
            document_what="the bank's own words" if code else "",
        )
        return await self.ledger.apply(application, told)

    async def telling(self, words: Iterable[Word]) -> Told:
        """The lines of an answer, as a reader gives them."""
        told = Told()
        for word in words:
            ref, ordered = str(word.ref), None
            if isinstance(word.ref, str) and not word.ref.isdigit():
                ref = str(await self.key(word.ref))
                ordered = int(await self.value("SELECT amount FROM attempt WHERE key = :key", key=int(ref)))
            amount = ordered if word.amount == -1 else word.amount
            verdict = word.verdict or VERDICTS[word.outcome]
            reasons = (
                () if word.outcome in (Outcome.PAID, Outcome.PENDING) else (Reason("own", word.code or str(verdict)),)
            )
            row = Row(ref, amount, word.currency, "ST", reasons, f"B{ref}", name=word.name, account=word.account)
            told.add(row, Judgement(word.outcome, verdict))
        return told

    async def all_paid(self, document: OutDocument) -> Applied:
        """The bank credits every line."""
        found = await self.rows(
            "SELECT key, amount FROM attempt WHERE document_key = :key ORDER BY line", key=document.key
        )
        return await self.answer(document, *(Word(int(row.key), Outcome.PAID, int(row.amount)) for row in found))


def chunk(run_id: str, no: int, lines: Sequence[Instruction | Line], bad: Sequence[BadLine] = ()) -> Chunk:
    """A decoded chunk as intake's reader gives it: ordinals by place, digests over run and content."""
    base = (no - 1) * contracts.CHUNK_MAX
    taken = {line.ordinal for line in bad if line.fatal} | {line.ordinal for line in lines if isinstance(line, Line)}
    free = (ordinal for ordinal in range(base + 1, base + contracts.CHUNK_MAX + 1) if ordinal not in taken)
    found = [line if isinstance(line, Line) else Line(next(free), line, _digest(run_id, line)) for line in lines]
    body = b"".join(line.digest for line in found) + repr(list(bad)).encode()
    return Chunk(run_id, no, sha256(body).digest(), found, list(bad))


def doubted(ordinal: int, instruction: Instruction, doubt: str) -> Line:
    """A good line that intake's checks do not like."""
    return Line(ordinal, instruction, _digest("", instruction), doubt)


def wrong(ordinal: int, code: str = "SCHEMA", amount: int = 100_00, *, fatal: bool = True, id_: str = "") -> BadLine:
    """A line that intake's checks refuse (or, not fatal, warn of)."""
    return BadLine(ordinal, id_ or f"bad-{ordinal}", code, "amount", "not like that", b'{"raw": 1}', amount, fatal)


def _digest(run_id: str, instruction: Instruction) -> bytes:
    return blake2b(run_id.encode() + b"\0" + _encode(instruction), digest_size=16).digest()
