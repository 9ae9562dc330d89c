"""The reference month: 369,370 payments, CNY 679.84 million, of which 238 fail at first; or a smaller or larger one in proportion.

Source for the three figures: the city's report of June 2015. The report says 67,984 ten-thousand yuan: by convention we
use exactly 67,984,000,000 fen. Banks, shares, amounts, relations and people are assumed; no bank and no person is real.

Everything is made chunk by chunk from (seed, chunk) alone, so memory is constant and any chunk can be made by itself.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import chain
from random import Random
from typing import NamedTuple

from gateway.core.bank import WireKind
from gateway.core.calendar import CHINA_TIME
from gateway.core.contracts import (
    CHUNK_MAX,
    BenefitLine,
    Instruction,
    InstructionRepay,
    Party,
    Relation,
    RunChunk,
    RunKind,
    RunSubmitted,
    encode,
)
from gateway.core.ports import Message
from gateway.core.verdicts import Verdict
from gateway.sandbox.failures import MONTH_PAYMENTS, SPLIT, FailurePlan, Mend, counts, mend_of
from gateway.sandbox.people import PEOPLE_MAX, Chance, card, chances, mistaken, person, relative

MONTH_MINOR = 67_984_000_000
"""Fen of the reference month, exactly, by convention."""
PAYMENTS_MAX = 4_000_000
SEED = 201506
PAYER = "PENSION"
FUND = "pension"
DEBIT_ACCOUNT = "9900000000000018"
DISTRICT = "440600"
PERIOD = "2015-06"
PAY_DATE = dt.date(2015, 6, 15)


class DemoBank(NamedTuple):
    """One counterpart of the demo. ``share`` is its percentage of all payments (assumed)."""

    code: str
    name: str
    name_zh: str
    adapter: str
    wire: WireKind
    share: int
    bin_prefix: str
    card_digits: int
    customer: str
    clearing_code: str
    #: Why payments fail here: only what the format has a public word for. What it has none for would be parked.
    tells: frozenset[Verdict] = frozenset(SPLIT)
    #: Of the format; empty: it holds every character. Whoever has a name that it lacks has a card elsewhere.
    charset: str = ""

    def holds(self, name: str) -> bool:
        """Whether the bank's format can write that name."""
        try:
            return not self.charset or bool(name.encode(self.charset))
        except UnicodeEncodeError:
            return False


#: All fictional. BIN: 9 is national use by ISO/IEC 7812, and 900 a country code that ISO 3166-1 gives to no country.
BANKS = (
    DemoBank("BANKA", "Bank Jia", "甲银行", "iso20022", WireKind.FOLDER, 41, "990001", 19, "FS0001", "990588000001"),
    DemoBank("BANKB", "Bank Yi", "乙银行", "standard_file", WireKind.SFTP, 27, "990002", 19, "FS0002", "990588000002"),
    DemoBank("BANKC", "Bank Bing", "丙银行", "iso20022", WireKind.SFTP, 20, "990003", 16, "FS0003", "990588000003"),
    DemoBank(
        "BANKD", "Bank Ding", "丁银行", "standard_file", WireKind.FOLDER, 12, "990004", 18, "FS0004", "990588000004"
    ),
)
_GBK = "gbk"
_NAMES_ONLY = frozenset({Verdict.NAME_MISMATCH})
#: The same town with a bank for each other format that pays; the four have what is left (all assumed).
ALL_BANKS = (
    *(bank._replace(share=share) for bank, share in zip(BANKS, (36, 25, 18, 10), strict=True)),
    DemoBank("BANKE", "Bank Wu", "戊银行", "cmb_cloud", WireKind.HTTPS, 3, "990005", 16, "FS0005", "990588000005"),
    DemoBank(
        "BANKF", "Bank Ji", "己银行", "cmb_frontend", WireKind.HTTPS, 3, "990006", 16, "FS0006", "990588000006",
        tells=_NAMES_ONLY, charset=_GBK,
    ),
    DemoBank(
        "BANKG", "Bank Geng", "庚银行", "pingan", WireKind.HTTPS, 2, "990007", 19, "00990000000000000007", "990588000007",
        charset=_GBK,
    ),
    DemoBank(
        "BANKH", "Bank Xin", "辛银行", "icbc", WireKind.HTTPS, 1, "990008", 19, "990000000000008", "990588000008",
        tells=frozenset(), charset=_GBK,
    ),
    DemoBank("BANKI", "Bank Ren", "壬银行", "cnaps2", WireKind.SFTP, 2, "990009", 19, "FS0009", "990588000009"),
)  # fmt: skip
ALL_PAYMENTS = 20_000
"""Of the month in all formats, unless told otherwise."""
ALL_PAYMENTS_MIN = 100
"""Fewer leave no room for failures at banks that tell them."""

AMOUNT_MIN, AMOUNT_MAX = 60_000, 900_000
"""Fen: CNY 600 to 9,000 (assumed)."""
#: Assumed: (weight of 64, from, to) in fen; the mean is near the month's 184,054.
_BANDS = (
    *((7, 60_000, 100_000), (14, 100_000, 140_000), (17, 140_000, 180_000), (13, 180_000, 220_000)),
    *((8, 220_000, 300_000), (4, 300_000, 450_000), (1, 450_000, 900_000)),
)
_BAND_OF = tuple((low, high - low) for weight, low, high in _BANDS for _ in range(weight))

#: Assumed: one payment in 2,048 goes to somebody else's account.
_PAYEE_ONE_IN = 2_048
_RELATIONS = (Relation.SPOUSE, Relation.GUARDIAN, Relation.CHILD, Relation.HEIR)


def month_minor(payments: int) -> int:
    """Fen of a month of this many payments: in proportion to the reference month, rounded half up."""
    return (2 * MONTH_MINOR * payments + MONTH_PAYMENTS) // (2 * MONTH_PAYMENTS)


def _settle(amounts: list[int], minor: int) -> list[int]:
    """The same amounts moved together until their sum is ``minor``, the odd fen on the last ones, none outside the bounds."""
    count = len(amounts)
    while off := minor - sum(amounts):
        step, odd = divmod(off, count)
        if step:
            amounts = [min(AMOUNT_MAX, max(AMOUNT_MIN, amount + step)) for amount in amounts]
        else:
            room = [place for place in range(count - 1, -1, -1) if amounts[place] < AMOUNT_MAX]
            for place in room[:odd]:
                amounts[place] += 1
    return amounts


class Month:
    """One month, made on demand. ``header``, ``chunks()``, ``messages()``; ``failures``, ``scenario(bank)``, ``repayments()``."""

    def __init__(
        self, payments: int, seed: int, *, period: str, pay_date: dt.date, banks: Sequence[DemoBank] = BANKS
    ) -> None:
        if not 3 <= payments <= PAYMENTS_MAX <= PEOPLE_MAX // 2:
            raise ValueError(f"a month has 3 to {PAYMENTS_MAX:,} payments: one of each reason must fail")
        self.payments = payments
        self.seed = seed
        self.period = period
        self.pay_date = pay_date
        self.banks = tuple(banks)
        self._bank_of = tuple(bank for bank in banks for _ in range(bank.share))
        self.run_id = f"PEN-{period.replace('-', '')}"
        self.chunk_count = -(-payments // CHUNK_MAX)
        self.second_pay_date = pay_date + dt.timedelta(14)  # by then everything that can be mended is

    @property
    def header(self) -> RunSubmitted:
        """``run.submitted``."""
        return RunSubmitted(
            run_id=self.run_id,
            kind=RunKind.REGULAR,
            line=BenefitLine.PENSION,
            period=self.period,
            fund=FUND,
            debit_account=DEBIT_ACCOUNT,
            count=self.payments,
            total=month_minor(self.payments),
            chunks=self.chunk_count,
            pay_date=self.pay_date,
            district=DISTRICT,
        )

    # --- instructions ---------------------------------------------------------------------------------------------

    def instruction_id(self, ordinal: int) -> str:
        """Id of payment ``ordinal`` (from 0)."""
        return f"{self.run_id}-{ordinal + 1:07}"

    def _amounts(self, first: int, drawn: list[Chance]) -> list[int]:
        """Every chunk has its exact part of the whole, so that any chunk can be made by itself."""
        whole, end = month_minor(self.payments), first + len(drawn)
        amounts = []
        for chance in drawn:
            low, span = _BAND_OF[chance.pay & 63]
            amounts.append(low + (span * (chance.pay >> 6 & 0xFFFFF) >> 20))
        return _settle(amounts, whole * end // self.payments - whole * first // self.payments)

    def _drawn(self, number: int) -> list[Chance]:
        return chances(self.seed, number, min(CHUNK_MAX, self.payments - (number - 1) * CHUNK_MAX))

    def _instruction(self, ordinal: int, chance: Chance, amount: int) -> Instruction:
        name, id_number, district = person(ordinal, chance)
        payee, relation = None, Relation.SELF
        if not chance.pay >> 26 & _PAYEE_ONE_IN - 1:
            relation = _RELATIONS[(chance.pay >> 40) % len(_RELATIONS)]
            other = relative(ordinal, chance, child=relation in (Relation.CHILD, Relation.HEIR))
            payee = Party(name=other.name, id_number=other.id_number)
        bank = self._bank_of[(chance.self & 0xFFFF) % 100]
        if bank.charset and not bank.holds(payee.name if payee else name):
            bank = self.banks[0]
        return Instruction(
            id=self.instruction_id(ordinal),
            person=Party(name=name, id_number=id_number),
            bank=bank.code,
            account=card(bank.bin_prefix, bank.card_digits, ordinal),
            amount=amount,
            payee=payee,
            relation=relation,
            district=district,
        )

    def chunk(self, number: int) -> RunChunk:
        """Chunk ``number``, from 1."""
        first = (number - 1) * CHUNK_MAX
        drawn = self._drawn(number)
        amounts = self._amounts(first, drawn)
        made = [self._instruction(first + place, chance, amounts[place]) for place, chance in enumerate(drawn)]
        return RunChunk(run_id=self.run_id, chunk=number, instructions=made)

    def chunks(self) -> Iterator[RunChunk]:
        """All chunks, one in memory at a time."""
        return map(self.chunk, range(1, self.chunk_count + 1))

    def instructions(self) -> Iterator[Instruction]:
        """All instructions in order."""
        for chunk in self.chunks():
            yield from chunk.instructions

    def messages(self) -> Iterator[Message]:
        """The header and all chunks as messages, with the same ids every time."""
        time = dt.datetime.combine(self.pay_date - dt.timedelta(5), dt.time(8), CHINA_TIME).astimezone(dt.UTC)

        def message(name: str, data: RunSubmitted | RunChunk, part: str) -> Message:
            message_id = f"{self.run_id}-{part}"
            body = encode(name, data, id=message_id, source=PAYER, time=time, subject=self.run_id)
            return Message(message_id=message_id, body=body)

        yield message("run.submitted", self.header, "header")
        for chunk in self.chunks():
            yield message("run.chunk", chunk, f"chunk-{chunk.chunk:05}")

    # --- failures -------------------------------------------------------------------------------------------------

    @cached_property
    def _failing(self) -> dict[int, tuple[Verdict, Mend]]:
        """Ordinal → why it fails and what mends it, spread over the whole run by chance."""
        many = counts(self.payments)
        stories = [
            (verdict, mend_of(verdict, number, count)) for verdict, count in many.items() for number in range(count)
        ]
        ordinals = Random(f"{self.seed}/failures").sample(range(self.payments), len(stories))  # noqa: S311 - repeatable on purpose
        if len({bank.tells for bank in self.banks}) > 1:
            ordinals = self._dealt(ordinals, [verdict for verdict, _ in stories])
        return dict(sorted(zip(ordinals, stories, strict=True)))

    @cached_property
    def failures(self) -> dict[str, Verdict]:
        """Instruction id → why it is not paid at the first try."""
        return {self.instruction_id(ordinal): verdict for ordinal, (verdict, _) in self._failing.items()}

    @cached_property
    def plans(self) -> dict[str, tuple[Instruction, FailurePlan]]:
        """Instruction id → the instruction that fails, and the plan of its account."""
        found: dict[str, tuple[Instruction, FailurePlan]] = {}
        for nth, (ordinal, (verdict, mend)) in enumerate(self._failing.items()):
            order = self._order(ordinal)
            found[order.id] = order, self._plan(nth, order, verdict, mend)
        return found

    def _order(self, ordinal: int) -> Instruction:
        """One instruction of a chunk, without making its neighbours."""
        number, place = divmod(ordinal, CHUNK_MAX)
        drawn = self._drawn(number + 1)
        return self._instruction(ordinal, drawn[place], self._amounts(ordinal - place, drawn)[place])

    def _plan(self, nth: int, order: Instruction, verdict: Verdict, mend: Mend) -> FailurePlan:
        to_bank = to_account = ""
        if mend in (Mend.NEW_CARD, Mend.OTHER_BANK):
            bank = self._at(order)
            if mend is Mend.OTHER_BANK:
                bank = self._elsewhere(nth, bank, (order.payee or order.person).name)
            to_bank, to_account = bank.code, card(bank.bin_prefix, bank.card_digits, PAYMENTS_MAX + nth)
        wrong_name = verdict is Verdict.NAME_MISMATCH
        return FailurePlan(
            verdict=verdict,
            bank_name=mistaken((order.payee or order.person).name) if wrong_name else "",
            new_account=to_account if verdict is Verdict.CARD_REPLACING else "",
            mends_after_first=mend is Mend.FOUND,
            mend=mend,
            to_bank=to_bank,
            to_account=to_account,
            mended_on=None if mend is Mend.WAITS else self.pay_date + dt.timedelta(3 + nth % 9),
        )

    def _dealt(self, ordinals: list[int], verdicts: list[Verdict]) -> list[int]:
        """Near those ordinals, but dealt out to the banks in turn, so that each has failures of the kinds that it tells."""
        dealt: list[int] = []
        had = Counter[str]()
        for ordinal, verdict in zip(ordinals, verdicts, strict=True):
            able = [bank for bank in reversed(self.banks) if verdict in bank.tells]
            for bank in sorted(able, key=lambda bank: had[bank.code]):
                if (found := self._free(bank, ordinal, dealt)) is not None:
                    had[bank.code] += 1
                    dealt.append(found)
                    break
            else:
                raise ValueError(f"nobody is left who could fail for {verdict}")
        return dealt

    def _free(self, bank: DemoBank, ordinal: int, taken: Collection[int]) -> int | None:
        """The first ordinal from this one on, and round again, that is paid at the bank and not taken; None if there is none."""
        chunk, drawn = -1, list[Chance]()
        for found in chain(range(ordinal, self.payments), range(ordinal)):
            if found // CHUNK_MAX != chunk:
                chunk = found // CHUNK_MAX
                drawn = self._drawn(chunk + 1)
            order = self._instruction(found, drawn[found % CHUNK_MAX], 0)
            if order.bank == bank.code and found not in taken:
                return found
        return None

    def _at(self, order: Instruction) -> DemoBank:
        return next(bank for bank in self.banks if bank.code == order.bank)

    def _elsewhere(self, nth: int, own: DemoBank, name: str) -> DemoBank:
        """Another bank that can write the name."""
        others = [bank for bank in self.banks if bank != own]
        start = (self.banks.index(own) + nth % len(others)) % len(others)
        return next(bank for bank in others[start:] + others[:start] if bank.holds(name))

    def scenario(self, bank: str) -> dict[str, FailurePlan]:
        """Account → plan for one bank's share of the failures."""
        return {order.account: plan for order, plan in self.plans.values() if order.bank == bank}

    def scenarios(self) -> dict[str, dict[str, FailurePlan]]:
        """The same for every bank: what ``failures.write_scenario`` takes."""
        return {bank.code: self.scenario(bank.code) for bank in self.banks}

    def repayments(self) -> list[InstructionRepay]:
        """``instruction.repay`` for everything that can be mended; the rest waits."""
        orders = (plan.repay(instruction_id) for instruction_id, (_, plan) in self.plans.items())
        return [order for order in orders if order is not None]


def generate(
    payments: int = MONTH_PAYMENTS,
    seed: int = SEED,
    *,
    period: str = PERIOD,
    pay_date: dt.date = PAY_DATE,
    banks: Sequence[DemoBank] = BANKS,
) -> Month:
    """The reference month, or one of ``payments`` in proportion. Raises ValueError below 3 or above 4,000,000 payments."""
    return Month(payments, seed, period=period, pay_date=pay_date, banks=banks)
