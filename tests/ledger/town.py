"""Anything in any order: a bank with books of its own, a wire that loses and doubts, people who let go and take back.

The reference is small: what was ordered, and what the bank really did with each try. The bank is honest but clumsy: it repeats itself, calls
things duplicates, answers late, and may tell a wrong FAIL, which it corrects within the hour that its Agreement gives it. After every step
the books agree to the fen, no instruction is credited twice, and no final state has changed on its own (P2, P4, P5, P6, P13). At the end the
faults stop, everything is sent, asked and answered, and ledger, bank and payer say the same (P11, P15). ``Inline`` refuses every arrow that was
not agreed on, and every loss of a row, while a step is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import zip_longest
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis.stateful import initialize, precondition, rule

from gateway.core.bank import DocKind, Row
from gateway.core.contracts import InstructionRepay, RunSubmitted
from gateway.core.ledger import Application, OutDocument, Ranks, Recorded
from gateway.core.money import Totals
from gateway.core.results import Told
from gateway.core.states import DocumentEvent, DocumentState
from gateway.core.verdicts import Judgement, Outcome, Verdict
from gateway.edge.ledger import accept, collect, filing, intake, lanes, mend, outbox, release
from tests.ledger.books import BANKS, FAILED, PAID, RETURNED, ROUNDS_MAX, UNKNOWN, Books, Letter
from tests.ledger.kit import CHECKER, MAKER, VERDICTS, Naming, chunk, doubted, pay

E, D = DocumentEvent, DocumentState
FATES = st.sampled_from([0, 0, 0b1010, 0b1]) | st.integers(0, 255)  # which lines of a Document the bank fails
HOW = ("delivered", "delivered", "not sent", "doubt", "crash")


class Town(Books):
    """The payers, the people, the wire and the banks around one ledger."""

    def teardown(self) -> None:
        """Heal, drain, compare with the bank's books."""
        try:
            self._drain()
        finally:
            self.ledger.close()

    # ------------------------------------------------------------------------------------------------------ payers, people

    @initialize(agreed=st.booleans())
    def begin(self, agreed: bool) -> None:
        """There is something at the banks from the start."""
        self.hour = 60 * agreed
        self.submit([100, 200, 300, 400], 0)
        self.dispatch(0b10)

    @rule(fate=FATES, hows=st.lists(st.sampled_from(HOW), max_size=4), there=st.booleans())
    def dispatch(self, fate: int, hows: Sequence[str] = (), there: bool = True) -> None:
        """A day's work: whatever can go is let go, filed, sealed and sent; how that ends, one after the other, and else well."""
        self._until_none(
            lambda: self._some("SELECT run_id FROM run WHERE state IN ('accepted', 'receiving')", 0),
            lambda: self.release(0),
        )
        for bank in BANKS:
            self.file(bank, 3)
        self._until_none(lambda: self._document(0, D.OPEN), lambda: self.seal(0))
        self._correct()
        for document, how in zip_longest(self._documents(D.SEALED), hows):
            if document is not None:
                self._send(document, how or "delivered", there, fate)

    @rule(fate=FATES, corrected=st.booleans(), patient=st.booleans())
    def mend_what_failed(self, fate: int, corrected: bool, patient: bool) -> None:
        """The bank errs, and may put it right; what seems unpaid is ordered again, and a day's work is done."""
        self.answers_in_full("wrong")
        if corrected:
            self.answers_in_full()
        self.repay(patient, None)
        self.dispatch(fate)

    @rule(there=st.booleans())
    def change_of_mind(self, there: bool) -> None:
        """What was just ordered is taken back while nobody knows how far it came."""
        self.submit([500, 600], 0)
        self.dispatch(0, ("crash", "doubt", "crash"), there)
        for n in (1, 2):
            self.ledger.do(mend.withdraw, self.ledger.meta(), f"R{self.runs}-{n}", "a mistake")

    @rule(noise=st.sampled_from(["", "wrong"]))
    def answers_in_full(self, noise: str = "") -> None:
        """All lines of all Documents, in truth, or with a wrong FAIL for each that is paid."""
        for pick in range(len(self._documents(D.SENT, D.RECEIPTED))):
            self.answer(pick, 255, noise)

    @rule(amounts=st.lists(st.integers(1, 999), min_size=1, max_size=4), doubt=st.integers(0, 3))
    def submit(self, amounts: list[int], doubt: int) -> None:
        """A Run over both banks; one of its lines may be doubted."""
        self.runs += 1
        run_id = f"R{self.runs}"
        lines: list[Any] = [
            pay(f"{run_id}-{n}", fen, bank=BANKS[(self.runs + n) % 3 // 2]) for n, fen in enumerate(amounts, 1)
        ]
        if 0 < doubt <= len(lines):
            lines[doubt - 1] = doubted(doubt, lines[doubt - 1], "NAME")
        header = {
            "run_id": run_id, "kind": "supplementary", "line": "pension", "period": "2015-06", "fund": "pension", "debit_account": "990001",
            "count": len(lines), "total": sum(amounts), "chunks": 1, "pay_date": "2015-06-15",
        }  # fmt: skip
        self.ledger.do(intake.record_header, self.ledger.meta(), msgspec.convert(header, RunSubmitted))
        self.ledger.do(intake.record_chunk, self.ledger.meta(), chunk(run_id, 1, lines))
        (complete,) = self.ledger.do(intake.complete_runs)
        assert self.ledger.do(accept.conclude_intake, complete.key, []) == "accepted"
        self.ordered |= {f"{run_id}-{n}": fen for n, fen in enumerate(amounts, 1)}

    @rule(pick=st.integers(0, 9))
    def release(self, pick: int) -> None:
        """Two people let a Run go; a second-payment Run too."""
        if run := self._some("SELECT run_id FROM run WHERE state IN ('accepted', 'receiving') ORDER BY key", pick):
            self.ledger.do(release.propose_release, MAKER, run.run_id)
            self.ledger.do(release.approve_release, CHECKER, run.run_id)

    @rule(pick=st.integers(0, 9))
    def free(self, pick: int) -> None:
        """Two people let held payments go, unless a contradiction is among the reasons: then they look first."""
        found = (
            "SELECT DISTINCT r.run_id FROM hold AS h JOIN attempt AS a ON a.key = h.attempt_key JOIN lot AS l ON l.key = a.lot_key "
            "JOIN run AS r ON r.key = l.run_key WHERE h.closed_ms IS NULL AND r.state <> 'closed' AND NOT EXISTS (SELECT 1 FROM hold AS o "
            "JOIN attempt AS b ON b.key = o.attempt_key JOIN lot AS m ON m.key = b.lot_key WHERE m.run_key = r.key "
            "AND o.closed_ms IS NULL AND o.reason = 'CONTRADICTION') ORDER BY r.run_id"
        )
        if run := self._some(found, pick):
            self.ledger.do(release.propose_free, MAKER, run.run_id)
            self.ledger.do(release.approve_free, CHECKER, run.run_id)

    @rule(pick=st.integers(0, 99), any_state=st.booleans())
    def withdraw(self, pick: int, any_state: bool) -> None:
        """A payer takes a payment back, or hears that it is too late."""
        waiting = [row.id for row in self._attempts() if any_state or row.state in ("new", "ready", "held", "batched")]
        if waiting:
            self.ledger.do(mend.withdraw, self.ledger.meta(), waiting[pick % len(waiting)], "died")

    @rule(patient=st.booleans(), one=st.none() | st.integers(0, 99))
    def repay(self, patient: bool, one: int | None) -> None:
        """A payer orders again what is not paid, or any one payment; after the bank's hour or at once; and hears why not."""
        if patient:
            self.answers_in_full()
        if patient and not self.wrong:
            self.ledger.clock.advance(3600)
        unpaid = dict.fromkeys(row.id for row in self._attempts() if row.state in ("failed", "returned", "refused"))
        for id_ in unpaid if one is None else [self._id(one)]:
            message = InstructionRepay(instruction_id=id_, reason="mended")
            self.ledger.do(mend.repay, self.ledger.meta(), message, dict.fromkeys(BANKS, self.hour))

    @rule(pick=st.integers(0, 9))
    def cancel(self, pick: int) -> None:
        """A payer takes a Run back, or hears that it is too late."""
        if run := self._some("SELECT run_id FROM run ORDER BY key", pick):
            self.ledger.do(release.cancel_run, self.ledger.meta(), run.run_id, "a mistake")

    @rule()
    def close(self) -> None:
        """Runs close, and a person closes what a bank told of somebody else's payments."""
        self.ledger.do(outbox.close_runs)
        for row in self.ledger.rows("SELECT key FROM parked WHERE closed_ms IS NULL AND attempt_key IS NULL"):
            self.ledger.do(mend.close_parked, MAKER, row.key, "not ours")

    @precondition(lambda self: not (self.hour and self.wrong))  # the bank keeps its hour
    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes: int) -> None:
        """Time passes."""
        self.ledger.clock.advance(minutes * 60)

    # ------------------------------------------------------------------------------------------------------ the lane and its wire

    @rule(bank=st.sampled_from(BANKS), rows=st.integers(1, 4))
    def file(self, bank: str, rows: int) -> None:
        """Whatever is ready gets into Documents of at most so many rows."""
        day = self.ledger.clock.now().date()
        for group in self.ledger.do(filing.ready_groups, bank):
            count = group.totals.count
            ranks = [Ranks(first, min(first + rows - 1, count)) for first in range(1, count + 1, rows)]
            self.ledger.do(filing.file_batch, group, self.epochs[bank], ranks, Naming(bank, day), day)

    @rule(pick=st.integers(0, 9))
    def seal(self, pick: int) -> None:
        """A Document is sealed."""
        if document := self._document(pick, D.OPEN):
            self.ledger.do(lanes.mark_sealed, document.key, self.epochs[document.bank], document.reference, 9, None, "")

    @rule(
        pick=st.integers(0, 9),
        how=st.sampled_from(HOW),
        there=st.booleans(),
        fate=FATES,
    )
    def send(self, pick: int, how: str, there: bool, fate: int) -> None:
        """A sending: delivered, surely not begun, in doubt, or cut off with the process; in the last two it may be there or not."""
        self._correct()
        if document := self._document(pick, D.SEALED):
            self._send(document, how, there, fate)

    def _send(self, document: OutDocument, how: str, there: bool, fate: int) -> None:
        epoch = self.epochs[document.bank]
        assert self.ledger.do(lanes.mark_sending, document.key, epoch)
        if how == "delivered" or (there and how != "not sent"):
            self._at_the_bank(document, fate)
        if how == "crash":
            assert self.ledger.do(lanes.doubt_sendings, document.bank, epoch) == 1
            return
        event = {"delivered": E.DELIVERED, "not sent": E.SURELY_NOT_SENT, "doubt": E.DOUBTED}[how]
        self.ledger.do(lanes.mark_travelled, document.key, epoch, event)

    def _correct(self) -> None:
        """Before a new file of ours reaches it, the bank has put right what it told wrongly."""
        for key in sorted(self.wrong):
            (row,) = self.ledger.rows("SELECT document_key FROM attempt WHERE key = :key", key=key)
            document = self.ledger.do(lanes.one, row.document_key)
            self._tell(document, [(key, self.truth[key])], E.RECEIPTED)
        self.wrong.clear()

    def _at_the_bank(self, document: OutDocument, fate: int) -> None:
        """The bank books every line of a reference that it does not have yet."""
        if document.reference in self.files:
            return
        self.files.add(document.reference)
        for line in self.ledger.do(lanes.pay_lines, document.key, 0, 99):
            assert self.truth.get(line.key) is not PAID, "one try credited twice"
            self.truth[line.key] = FAILED if fate >> line.line % 8 & 1 else PAID

    @rule(pick=st.integers(0, 9))
    def inquire(self, pick: int) -> None:
        """A Document in doubt is asked about: found, or not there and sealed again."""
        if document := self._document(pick, D.IN_DOUBT):
            event = E.FOUND if document.reference in self.files else E.NOT_FOUND
            self.ledger.do(lanes.mark_travelled, document.key, self.epochs[document.bank], event)

    # ------------------------------------------------------------------------------------------------------ the bank's answers

    @rule(
        pick=st.integers(0, 9),
        some=st.integers(1, 255),
        noise=st.sampled_from(["", "unknown", "twice", "wrong", "wrong", "foreign"]),
    )
    def answer(self, pick: int, some: int, noise: str) -> None:
        """Some lines of a Document that is there, in truth, with a little noise."""
        document = self._document(pick, D.SENT, D.RECEIPTED, D.IN_DOUBT)
        if document is None:
            return
        if document.reference not in self.files:
            return
        told = [key for n, key in enumerate(self._members(document)) if some >> n % 8 & 1]
        words = [(key, self.truth[key]) for key in told if self.truth[key] is not RETURNED]
        if noise == "unknown":
            words = [(key, UNKNOWN) for key, _ in words]
        elif noise == "twice":
            words *= 2
        elif noise == "wrong":
            states = {row.key: row.state for row in self.ledger.rows("SELECT key, state FROM attempt")}
            lied = [key for key, outcome in words if outcome is PAID and states[key] in ("batched", "unknown")]
            words = [(key, FAILED if key in lied else outcome) for key, outcome in words]
        elif noise == "foreign":
            words += [(77, PAID)]
        self._tell(document, words, E.FOUND if document.state == D.IN_DOUBT else E.RECEIPTED)

    @rule(pick=st.integers(0, 9), fail=st.booleans())
    def word_on_the_whole(self, pick: int, fail: bool) -> None:
        """A repeat, called so; or a refusal, where in truth nothing of the Document is booked."""
        document = self._document(pick, D.SENT, D.RECEIPTED, D.IN_DOUBT)
        if document is None:
            return
        members = self._members(document)
        if fail and (document.reference not in self.files or any(self.truth[key] is not FAILED for key in members)):
            return
        self._tell(document, [], E.REFUSED if fail else E.DOUBTED)
        if fail and self.ledger.do(lanes.one, document.key).state == D.REFUSED:
            for key in members:  # it may be filed again, the same try, and then be booked
                del self.truth[key]

    @rule(pick=st.integers(0, 9))
    def give_back(self, pick: int) -> None:
        """Money that was credited comes back."""
        if row := self._some("SELECT key, amount FROM attempt WHERE state = 'paid' ORDER BY key", pick):
            self.truth[row.key] = RETURNED
            self._tell(None, [(row.key, RETURNED)], "")

    @rule(pick=st.integers(0, 99), renamed=st.booleans())
    def say_again(self, pick: int, renamed: bool) -> None:
        """An old letter comes again as it was, or under another name, however much has happened since."""
        if self.letters:
            self._deliver(self.letters[pick % len(self.letters)], renamed=renamed)

    def _tell(self, document: OutDocument | None, words: list[tuple[int, Outcome]], event: str) -> None:
        bank = document.bank if document else self._bank_of(words[0][0])
        letter = Letter(bank, document, words, event, f"answer-{len(self.letters) + 1}")
        self.letters.append(letter)
        self._deliver(letter)

    def _deliver(self, letter: Letter, *, renamed: bool = False) -> None:
        document, words = letter.document, letter.words
        states = {row.key: row.state for row in self._attempts()}
        self.wrong.update(
            key
            for key, outcome in words
            if outcome is FAILED and self.truth.get(key) is PAID and states[key] in ("batched", "unknown")
        )
        self.wrong.difference_update(key for key, outcome in words if outcome is PAID)
        told = Told()
        for key, outcome in words:
            row = Row(str(key), self._amount(key), "CNY", "ST")
            told.add(row, Judgement(outcome, VERDICTS.get(outcome, Verdict.NO_REASON)))
        self.renamed += renamed
        name = f"{letter.name}-{self.renamed}" if renamed else letter.name
        again = letter.name in self.taken and not renamed
        self.taken.add(letter.name)
        digest = sha256(letter.name.encode()).hexdigest()
        key, recorded = self.ledger.do(collect.record_inbound, letter.bank, name, digest, 9, "folder", None)
        assert recorded is (Recorded.DUP if again else Recorded.NEW)
        if again:
            return
        application = Application(
            inbound_key=key, kind=DocKind.RESULT if document else DocKind.RETURN, reference=name,
            original=document.reference if document else "", seal_by="bank", totals=Totals(len(words), 0),
            document_key=document.key if document else None, document_event=letter.event,
        )  # fmt: skip
        self.ledger.do(collect.apply, application, told)

    # ------------------------------------------------------------------------------------------------------ the payer's ear

    @rule(most=st.integers(1, 9), confirmed=st.booleans())
    def relay(self, most: int, confirmed: bool) -> None:
        """A page of events reaches the payer; whether the broker's word on it comes back is another matter."""
        page = self.ledger.do(outbox.outbox_page, most)
        for _, message_id, routing_key, body in page:
            self.payer.hear(message_id, routing_key, body)
        if confirmed:
            self.ledger.do(outbox.outbox_done, [seq for seq, *_ in page])

    def _drain(self) -> None:
        """Faults end: let everything go, send it, ask, answer in truth, tell; then ledger, bank and payer say the same."""
        for _ in range(6):
            for pick in range(9):
                self.free(pick)
            self._until_none(lambda: self._document(0, D.IN_DOUBT), lambda: self.inquire(0))
            self.dispatch(0)
            self.answers_in_full()
            self.close()
            self._check()
        self._until_none(lambda: self.ledger.do(outbox.outbox_page, 1), lambda: self.relay(ROUNDS_MAX, confirmed=True))
        waiting = [row for row in self._attempts() if row.state in ("new", "ready", "batched", "unknown")]
        assert waiting == []
        for row in self._attempts():
            if (truth := self.truth.get(row.key)) is PAID:
                spoken = self.ledger.rows("SELECT 1 FROM parked WHERE attempt_key = :key", key=row.key)
                assert row.state == "paid" or (row.state == "failed" and spoken), "credited, and nobody knows"
            elif truth is RETURNED:
                assert row.state == "returned"
            if row.state in ("paid", "failed", "returned"):
                assert self.payer.last(row.id, row.try_no) == row.state
