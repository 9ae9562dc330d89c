"""One counterpart bank at work: takes files or words, books them, decides what to say. Synchronous and without a wire; process.py moves the bytes.

A file is booked and its answers are planned in one transaction. The seal is proven before anything else is read.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gateway.core.bank import DuplicateAnswer
from gateway.core.verdicts import Verdict
from gateway.sandbox import faults, plan
from gateway.sandbox.books import Books, Known
from gateway.sandbox.config import SandboxBank
from gateway.sandbox.conversation import Heard, Told, Word
from gateway.sandbox.doors import BYTES_MAX, Arrival, Outgoing
from gateway.sandbox.orders import (
    Answer,
    Booked,
    FileRefused,
    Kind,
    Line,
    Opened,
    Order,
    Question,
    Side,
    Standing,
    Twist,
)
from gateway.sandbox.scenario import PAY, Failure
from gateway.sandbox.scenario import load as load_scenario

RELEASE = "release"


class Counterpart:
    """A bank. ``now`` dates the answers to files that say nothing of their own date."""

    def __init__(self, config: SandboxBank, side: Side | None, *, now: str) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._side = side
        self._now = now
        self._folder = Path(config.state)
        self._books = Books(self._folder)
        self._scenario = load_scenario(config.scenario)
        self._returning = {account for account, told in self._scenario.accounts.items() if told.returns is not None}

    # ------------------------------------------------------------------------------------------------------------ taking files

    def receive(self, arrival: Arrival) -> bool:
        """Take a file; False if it is to vanish as if it had never come. Afterwards ``put_aside`` follows."""
        digest = hashlib.sha256(arrival.payload).hexdigest()
        if self._books.unfinished(arrival.name, digest):
            return True  # booked before a crash; only the putting aside is missing
        self.counts["files"] += 1
        nth = self._books.files_seen() + 1
        faulty = faults.touches(self.config.faults, nth)
        try:
            if len(arrival.payload) > BYTES_MAX:
                raise FileRefused(Verdict.FORMAT_REFUSED, "larger than this bank takes")
            opened = self._files().open(arrival.payload, arrival.seal)
            if isinstance(opened.head, Question):
                self._answer(arrival, digest, opened.head)
            elif faulty and self.config.faults.drop == "file":
                self._lose(arrival, digest, opened.head)
                return False
            else:
                self._take(arrival, digest, opened, opened.head, faulty=faulty)
        except FileRefused as refusal:
            self._refuse(arrival, digest, refusal)
        return True

    def put_aside(self, arrival: Arrival) -> None:
        """The door has put the file aside: the same name and bytes from now on are a second copy."""
        document = self._books.unfinished(arrival.name, hashlib.sha256(arrival.payload).hexdigest())
        if document:
            self._books.taken(document)

    def slow_s(self) -> float:
        """How long the next file waits before it is looked at."""
        nth = self._books.files_seen() + 1
        return self.config.faults.slow_s if faults.touches(self.config.faults, nth) else 0.0

    def _files(self) -> Side:
        if self._side is None:
            raise ValueError(f"{self.config.adapter} has no files")
        return self._side

    def _lose(self, arrival: Arrival, digest: str, order: Order) -> None:
        with self._books.transaction():
            self._books.enter(
                name=arrival.name, digest=digest, order=None, reference=order.reference, standing=Standing.LOST
            )

    # ------------------------------------------------------------------------------------------------------------ being talked to

    def hear(self, order: Order, lines: list[Line]) -> FileRefused | None:
        """An order in words: the refusal to say at once, or None where it is taken (or lost on purpose)."""
        payload = msgspec.json.encode((msgspec.structs.replace(order, created=""), lines))
        arrival, digest = Arrival(order.reference, payload, None, None), hashlib.sha256(payload).hexdigest()
        self.counts["files"] += 1
        faulty = faults.touches(self.config.faults, self._books.files_seen() + 1)
        if faulty and self.config.faults.drop == "file":
            self._lose(arrival, digest, order)
            return None
        try:
            self._take(arrival, digest, Heard(order, lines), order, faulty=faulty)
        except FileRefused as refusal:
            self._refuse(arrival, digest, refusal)
            return refusal
        return None

    def told(self, reference: str) -> Told | None:
        """What there is to say of the order under this reference, as of now; None: no such order is known."""
        now, released = time.time(), (self._folder / RELEASE).exists()
        known = self._books.known(reference=reference) or self._books.standing(reference, Standing.REFUSED)
        if known is None or known.order is None:
            return None
        due = [answer for answer in self._books.planned(known.id) if answer.due <= now and answer.held <= released]
        refusal = next((answer for answer in due if answer.kind is Kind.REFUSAL), None)
        lines = {line.id: line for line in self._books.lines(known.first, known.last)}
        said: set[int] = set()
        back: dict[int, Verdict] = {}
        for answer in due:
            rows = {line.id: line for line in self._rows(answer, known)}
            if answer.kind is Kind.RETURN:
                back |= {row: line.verdict for row, line in rows.items() if line.verdict is not None}
            elif answer.kind in (Kind.RESULT, Kind.CONTRADICTION):
                lines |= rows
                said |= rows.keys()
        self.counts["inquiries"] += 1
        words = [Word(row - known.first + 1, line, row in said, back.get(row)) for row, line in lines.items()]
        return Told(known.order, words, refusal.verdict if refusal else None, refusal.text if refusal else "")

    # ------------------------------------------------------------------------------------------------------------ booking

    def _take(self, arrival: Arrival, digest: str, opened: Opened, order: Order, *, faulty: bool) -> None:
        how = self.config.answers
        known = (
            self._books.known(reference=order.reference)
            if how.duplicate_key == "reference"
            else self._books.known(name=arrival.name)
        )
        if known is not None and how.duplicate is DuplicateAnswer.ERROR:
            same = known.digest == digest
            text = "文件重复" if same else "文件编号重复而内容不同"
            raise _no(order, Verdict.DUPLICATE, text, "" if same or self._side is None else self._side.other_content)
        if known is not None and how.duplicate is DuplicateAnswer.FIRST_RESULT:
            with self._books.transaction():
                self._enter(arrival, digest, order, Standing.REPEATED)
                self._books.again(known.id, time.time())
            return
        self._agreed(order)
        if faulty and self.config.faults.file_refusal:
            self._refuse_later(arrival, digest, order)
            return
        with self._books.transaction():
            if known is not None and how.duplicate is DuplicateAnswer.OVERWRITE:
                self._books.stand(known.id, Standing.OVERWRITTEN)
                self._books.forget(known.id)
            self._book(arrival, digest, opened, order, faulty=faulty)

    def _book(self, arrival: Arrival, digest: str, opened: Opened, order: Order, *, faulty: bool) -> None:
        document = self._enter(arrival, digest, order, Standing.BOOKED)
        accounts, everyone = self._scenario.accounts, self._scenario.default != PAY

        def failure(line: Line) -> Failure | None:
            if not everyone and line[1] not in accounts:
                return None
            failed_before = self._books.failed_before(line[1], document)
            return self._scenario.failure(line[1], line[2], failed_before=failed_before)

        first, counted = self._books.book(document, opened.lines(), failure)
        if (counted.count, counted.minor) != (order.count, order.minor):
            text = f"declared {order.count} / {order.minor} fen, counted {counted.count} / {counted.minor} fen"
            raise _no(order, Verdict.TOTALS_REFUSED, text)
        self.counts["payments"] += counted.count
        self._plan(document, order, (first, first + counted.count - 1), faulty=faulty)

    def _plan(self, document: int, order: Order, rows: tuple[int, int], *, faulty: bool) -> None:
        how, now, held = self.config.answers, time.time(), self.config.hold_results
        planned = plan.answers(
            how,
            self.config.faults,
            document=document,
            created=order.created,
            rows=rows,
            now=now,
            held=held,
            faulty=faulty,
        )
        after = now
        for answer in planned:
            self._books.plan(answer)
            after = max(after, answer.due)
        dropped = faulty and self.config.faults.drop
        if (
            self._returning
            and not dropped
            and any(line.account in self._returning for line in self._books.lines(*rows))
        ):
            self._books.plan(
                plan.returned(how, document=document, created=order.created, rows=rows, after=after, held=held)
            )

    def _agreed(self, order: Order) -> None:
        """What the agreement allows. Raises FileRefused."""
        accounts = self.config.debit_accounts
        if order.customer != self.config.customer or order.bank not in ("", self.config.code):
            raise _no(order, Verdict.NOT_ALLOWED, "a customer or a bank that is not known here")
        if accounts and order.debit_account not in accounts:
            raise _no(order, Verdict.NOT_ALLOWED, "the account to debit is not the customer's")
        if order.count > self.config.rows_max:
            raise _no(order, Verdict.NOT_ALLOWED, "more payments than agreed")

    def _refuse(self, arrival: Arrival, digest: str, refusal: FileRefused) -> None:
        self.counts["refused"] += 1
        standing = Standing.REPEATED if refusal.verdict is Verdict.DUPLICATE else Standing.REFUSED
        with self._books.transaction():
            document = self._books.enter(
                name=arrival.name,
                digest=digest,
                order=None,
                reference=refusal.reference,
                standing=standing,
                why=str(refusal),
            )
            answer = Answer(
                kind=Kind.REFUSAL, document=document, verdict=refusal.verdict, text=refusal.text, due=time.time()
            )
            answer.code = refusal.code
            answer.created = plan.later(refusal.created or self._now, plan.RECEIPT_MINUTES)
            self._books.plan(answer)

    def _refuse_later(self, arrival: Arrival, digest: str, order: Order) -> None:
        """A receipt first, then the whole file is refused: how a bank tells that the account lacks the money."""
        how, verdict = self.config.answers, Verdict(self.config.faults.file_refusal)
        self.counts["refused"] += 1
        with self._books.transaction():
            document = self._enter(arrival, digest, order, Standing.REFUSED, why=verdict)
            if how.receipts:
                created = plan.later(order.created, plan.RECEIPT_MINUTES)
                self._books.plan(
                    Answer(kind=Kind.RECEIPT, document=document, created=created, due=time.time() + how.receipt_delay_s)
                )
            answer = Answer(kind=Kind.REFUSAL, document=document, verdict=verdict, due=time.time() + how.delay_s)
            answer.created, answer.held = plan.later(order.created, plan.RESULT_MINUTES), self.config.hold_results
            self._books.plan(answer)

    def _answer(self, arrival: Arrival, digest: str, question: Question) -> None:
        self.counts["inquiries"] += 1
        known = self._books.known(reference=question.original)
        refusal = None if known else self._books.refusal(question.original)
        answer = Answer(kind=Kind.ANSWER, document=known.id if known else 0, question=question, due=time.time())
        answer.created = plan.later(question.created, plan.RECEIPT_MINUTES)
        if known is not None:
            answer.first, answer.last, answer.finding = known.first, known.last, Standing.BOOKED
            answer.under_way = self._books.under_way(known.id)
        elif refusal is not None:
            answer.finding, answer.verdict = Standing.REFUSED, refusal.verdict
            answer.code, answer.text = refusal.code, refusal.text
            answer.document = refusal.document
        with self._books.transaction():
            self._books.enter(
                name=arrival.name, digest=digest, order=question, reference=question.reference, standing=Standing.ASKED
            )
            self._books.plan(answer)

    def _enter(self, arrival: Arrival, digest: str, order: Order, standing: Standing, why: str = "") -> int:
        return self._books.enter(
            name=arrival.name, digest=digest, order=order, reference=order.reference, standing=standing, why=why
        )

    # ------------------------------------------------------------------------------------------------------------ giving answers

    def next_answer(self) -> tuple[Answer, Outgoing] | None:
        """The answer that is due, written and sealed; None if there is none."""
        released = (self._folder / RELEASE).exists()
        answer = self._books.due(time.time(), released=released)
        if answer is None:
            return None
        known = self._books.file(answer.document) if answer.document else None
        if known is not None:
            answer.reference, answer.digest, answer.base = known.reference, known.digest, known.first
        order = known.order if known else None
        wrong = self.config.faults if answer.faulty else None
        payload, seal = self._files().write(
            answer, order, self._rows(answer, known), faults.twist(wrong) if wrong else Twist()
        )
        if wrong is not None:
            payload = faults.damaged(wrong, payload)
        name = self._files().name(answer, order)
        return answer, Outgoing(name, payload, seal, answer.kind, answer.reference, again=answer.given > 0)

    def given(self, answer: Answer) -> None:
        """The door has handed it over."""
        self.counts[f"{answer.kind}s"] += 1
        with self._books.transaction():
            self._books.given(answer)

    def close(self) -> None:
        """Let go of the books."""
        self._books.close()

    def _rows(self, answer: Answer, known: Known | None) -> Iterable[Booked]:
        if known is None or answer.kind in (Kind.RECEIPT, Kind.REFUSAL):
            return ()
        lines: Iterable[Booked] = self._books.lines(answer.first, answer.last)
        if answer.question is not None and answer.question.lines:
            wanted = {known.first + line - 1 for line in answer.question.lines}
            lines = [line for line in lines if line.id in wanted]
        if answer.kind is Kind.RETURN:
            return self._returned(lines)
        if answer.kind is Kind.CONTRADICTION:
            return faults.turned(lines)
        return faults.rows(self.config.faults, lines) if answer.faulty else lines

    def _returned(self, lines: Iterable[Booked]) -> list[Booked]:
        """The credited lines whose accounts send the money back; from here on it is off those accounts."""
        found = []
        for line in lines:
            told = self._scenario.accounts.get(line.account)
            if told is not None and told.returns is not None and line.verdict is None:
                found.append(line._replace(verdict=told.returns))
        with self._books.transaction():
            self._books.put_back((line.id, line.verdict) for line in found if line.verdict is not None)
        return found


def _no(order: Order, verdict: Verdict, text: str, code: str = "") -> FileRefused:
    return FileRefused(verdict, text, reference=order.reference, created=order.created, code=code)
