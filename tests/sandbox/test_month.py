"""The reference month: exact to the payment and the fen, synthetic people that pass every check, failures that can be mended."""

from __future__ import annotations

import csv
import datetime as dt
import json
import unicodedata
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from gateway.core.contracts import (
    CHUNK_MAX,
    Envelope,
    IdType,
    Instruction,
    InstructionRepay,
    Relation,
    RunChunk,
    RunSubmitted,
)
from gateway.core.errors import Code, Malformed
from gateway.core.ids import id_fault, luhn_ok
from gateway.core.verdicts import Verdict
from gateway.sandbox import scenario as banks_side
from gateway.sandbox.failures import MONTH_FAILURES, MONTH_PAYMENTS, SPLIT, Mend, counts, read_scenario, write_scenario
from gateway.sandbox.month import (
    AMOUNT_MAX,
    AMOUNT_MIN,
    BANKS,
    MONTH_MINOR,
    Month,
    generate,
    month_minor,
)
from gateway.sandbox.month_files import CSV_COLUMNS, read_chunks, write_chunks, write_csv, write_jsonl
from gateway.sandbox.names_data import RARE
from gateway.sandbox.people import DISTRICTS, MIDDLE_DOT, mistaken

SMALL = 5_000


@pytest.fixture(scope="module")
def small() -> list[Instruction]:
    """A month of 5,000."""
    return list(generate(SMALL).instructions())


@pytest.mark.slow
def test_the_whole_month_is_exact() -> None:
    """369,370 payments and 67,984,000,000 fen; nobody and no account twice; every bank, district and rarity there."""
    month = generate()
    payments = minor = rare = dotted = 0
    characters = set(RARE)
    people, accounts, banks, districts, relations = set(), set(), Counter[str](), Counter[str](), Counter[Relation]()
    for chunk in month.chunks():
        assert 1 <= len(chunk.instructions) <= CHUNK_MAX
        for order in chunk.instructions:
            payments += 1
            minor += order.amount
            people.add(order.person.id_number)
            accounts.add(order.account)
            banks[order.bank] += 1
            districts[order.district] += 1
            relations[order.relation] += 1
            rare += not characters.isdisjoint(order.person.name)
            dotted += MIDDLE_DOT in order.person.name
    assert (payments, minor) == (369_370, 67_984_000_000) == (MONTH_PAYMENTS, MONTH_MINOR)
    assert (month.header.count, month.header.total, month.header.chunks) == (369_370, 67_984_000_000, 370)
    assert len(people) == len(accounts) == payments
    for bank in BANKS:
        assert abs(banks[bank.code] * 100 - bank.share * payments) < payments // 2
    assert districts.keys() == DISTRICTS.keys()
    assert 500 < rare < 3_000
    assert 100 < dotted < 1_000
    assert 100 < payments - relations[Relation.SELF] < 300
    assert len(relations) == 5


@pytest.mark.slow
def test_exactly_238_of_the_month_fail() -> None:
    """As the source says; by reason as assumed; at every bank and in every district; 215 can be mended, the rest waits."""
    month = generate()
    assert len(month.failures) == 238 == MONTH_FAILURES
    assert Counter(month.failures.values()) == {
        Verdict.NAME_MISMATCH: 129,
        Verdict.CARD_LOST: 61,
        Verdict.CARD_REPLACING: 48,
    }
    assert {order.bank for order, _ in month.plans.values()} == {bank.code for bank in BANKS}
    assert {order.district for order, _ in month.plans.values()} == DISTRICTS.keys()
    mends = Counter((plan.verdict, plan.mend) for _, plan in month.plans.values())
    assert mends == {(verdict, mend): many for verdict, mends in SPLIT.items() for mend, many in mends}
    assert len(month.repayments()) == 215
    assert sum(len(accounts) for accounts in month.scenarios().values()) == 238


@pytest.mark.parametrize("payments", [3, 4, 999, 1_000, 1_001, 2_345])
def test_a_small_month_is_exact_too(payments: int) -> None:
    """In proportion to the fen, at least one of each reason, chunks in order and all but the last one full."""
    month = generate(payments)
    chunks = list(month.chunks())
    amounts = [order.amount for chunk in chunks for order in chunk.instructions]
    assert (len(amounts), sum(amounts)) == (payments, month_minor(payments)) == (month.header.count, month.header.total)
    assert AMOUNT_MIN <= min(amounts) <= max(amounts) <= AMOUNT_MAX
    assert [chunk.chunk for chunk in chunks] == list(range(1, month.header.chunks + 1))
    assert all(len(chunk.instructions) == CHUNK_MAX for chunk in chunks[:-1])
    assert set(month.failures.values()) == set(SPLIT)


def test_the_scale_is_the_stated_convention() -> None:
    """round(67,984,000,000 · N / 369,370), and failures in proportion."""
    assert month_minor(1) == 184_054
    assert month_minor(MONTH_PAYMENTS) == MONTH_MINOR
    assert month_minor(10 * MONTH_PAYMENTS) == 10 * MONTH_MINOR
    assert sum(counts(MONTH_PAYMENTS).values()) == 238
    assert sum(counts(10 * MONTH_PAYMENTS).values()) == 2_380
    assert counts(20_000) == {Verdict.NAME_MISMATCH: 7, Verdict.CARD_LOST: 3, Verdict.CARD_REPLACING: 3}


@pytest.mark.parametrize("payments", [0, 2, 4_000_001])
def test_a_month_of_an_impossible_size_is_refused(payments: int) -> None:
    """Too few to show each reason, or more than there are people for."""
    with pytest.raises(ValueError, match="payments"):
        generate(payments)


def test_the_same_seed_makes_the_same_month() -> None:
    """Byte for byte, chunk by chunk alone as well; another seed makes other people."""
    assert list(generate(1_500).messages()) == list(generate(1_500).messages())
    assert generate(1_500).chunk(2) == list(generate(1_500).chunks())[1]
    assert generate(1_500).failures == generate(1_500).failures
    assert generate(1_500, seed=7).chunk(1) != generate(1_500).chunk(1)


def test_people_pass_every_check(small: list[Instruction]) -> None:
    """Ids by GB 11643, cards by Luhn in their bank's length and BIN, births that make them pensioners under 70."""
    by_code = {bank.code: bank for bank in BANKS}
    for order in small:
        for party in filter(None, (order.person, order.payee)):
            assert party.id_type is IdType.RESIDENT
            assert id_fault(IdType.RESIDENT, party.id_number, latest_birth="20150615") == ""
        born = order.person.id_number[6:14]
        assert "19450701" <= born < "19650701"
        assert born < "19550701" or order.person.id_number[16] in "02468"
        assert order.person.id_number[:6] == order.district
        bank = by_code[order.bank]
        assert order.account.startswith(bank.bin_prefix)
        assert 16 <= len(order.account) == bank.card_digits <= 19
        assert luhn_ok(order.account)
        assert (order.payee is None) is (order.relation is Relation.SELF)


def test_names_are_of_characters_that_exist(small: list[Instruction]) -> None:
    """Letters and the middle dot U+00B7 only, assigned, none from a private area, all in GB18030."""
    for order in small:
        name = order.person.name
        assert 2 <= len(name) <= 12
        assert all(unicodedata.category(character) == "Lo" or character == "\u00b7" for character in name)
        assert name.encode("gb18030").decode("gb18030") == name
        assert unicodedata.normalize("NFC", name) == name
        wrong = mistaken(name)
        assert wrong != name
        assert wrong[0] == name[0]


def test_amounts_look_like_pensions(small: list[Instruction]) -> None:
    """Within CNY 600 to 9,000, most of them between 1,000 and 2,500, hardly two the same."""
    amounts = [order.amount for order in small]
    assert AMOUNT_MIN <= min(amounts) < max(amounts) <= AMOUNT_MAX
    assert sum(100_000 <= amount < 250_000 for amount in amounts) > 0.6 * SMALL
    assert len(set(amounts)) > 0.9 * SMALL


def test_messages_are_contracts(small: list[Instruction]) -> None:
    """Every body reads back strictly as the contract's type, under the id that the message carries."""
    orders: list[Instruction] = []
    for message in generate(SMALL).messages():
        envelope = msgspec.json.decode(message.body, type=Envelope)
        assert envelope.id == message.message_id
        if envelope.type == "run.submitted":
            header = msgspec.json.decode(envelope.data, type=RunSubmitted)
            assert header == generate(SMALL).header
        else:
            orders += msgspec.json.decode(envelope.data, type=RunChunk).instructions
    assert orders == small


def bank_says(month: Month, scenarios: dict[str, banks_side.Scenario], order: InstructionRepay) -> Verdict | None:
    """What the bank that the second payment goes to answers: None is credited."""
    first, _ = month.plans[order.instruction_id]
    name, bank, account = (first.payee or first.person).name, first.bank, first.account
    if order.correction is not None:
        name = order.correction.name or name
        if order.correction.account is not None:
            bank, account = order.correction.account.bank, order.correction.account.account
    failure = scenarios[bank].failure(account, name, failed_before=account == first.account)
    return failure.verdict if failure else None


def test_the_banks_fail_and_mend_as_planned(tmp_path: Path) -> None:
    """Through the plan files: each planned failure fails at first for its reason, nobody else does, each repayment is paid."""
    month = generate(MONTH_PAYMENTS // 10)
    paths = write_scenario(tmp_path, month.scenarios())
    scenarios = {bank: banks_side.load(str(path)) for bank, path in paths.items()}
    assert {bank: read_scenario(path) for bank, path in paths.items()} == month.scenarios()
    said = {}
    for order in month.instructions():
        name = (order.payee or order.person).name
        if failure := scenarios[order.bank].failure(order.account, name, failed_before=False):
            said[order.id] = failure.verdict
    assert said == month.failures
    repayments = month.repayments()
    assert 0 < len(repayments) < len(said)
    assert [bank_says(month, scenarios, order) for order in repayments] == [None] * len(repayments)
    msgspec.json.decode(msgspec.json.encode(repayments), type=list[InstructionRepay])


def test_what_waits_has_no_repayment() -> None:
    """The rest keeps failing: there is nothing to repay with."""
    month = generate(MONTH_PAYMENTS // 10)
    waiting = {key for key, (_, plan) in month.plans.items() if plan.mend is Mend.WAITS}
    assert waiting
    assert waiting.isdisjoint(order.instruction_id for order in month.repayments())
    assert waiting | {order.instruction_id for order in month.repayments()} == month.failures.keys()


def test_new_accounts_are_nobody_elses() -> None:
    """A corrected account is new, valid, and at the bank that the correction names; mended before the second payment."""
    month = generate(MONTH_PAYMENTS // 10)
    taken = {order.account for order in month.instructions()}
    for _, plan in month.plans.values():
        if plan.to_account:
            assert plan.to_account not in taken
            assert luhn_ok(plan.to_account)
            taken.add(plan.to_account)
        if plan.mended_on:
            assert month.pay_date < plan.mended_on <= month.second_pay_date


def test_a_message_file_gives_back_every_message(tmp_path: Path) -> None:
    """Written once, read as often as a benchmark likes; a cut file is noticed."""
    path = tmp_path / "month.messages"
    month = generate(2_500)
    assert write_chunks(month, path) == path.stat().st_size
    assert list(read_chunks(path)) == list(month.messages())
    for cut in (1, 5, 300):
        short = tmp_path / "short"
        short.write_bytes(path.read_bytes()[:-cut])
        with pytest.raises(Malformed) as caught:
            list(read_chunks(short))
        assert caught.value.code is Code.TRUNCATED


def test_a_run_as_jsonl_and_csv(tmp_path: Path) -> None:
    """One line an instruction, the header beside it; nothing is lost or changed."""
    month = generate(1_200, period="2015-07", pay_date=dt.date(2015, 7, 15))
    header = write_jsonl(month, tmp_path / "run.jsonl")
    assert msgspec.json.decode(header.read_bytes(), type=RunSubmitted) == month.header
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Instruction) for line in lines] == list(month.instructions())
    header = write_csv(month, tmp_path / "trial.csv")
    assert json.loads(header.read_text())["run_id"] == "PEN-201507"
    with (tmp_path / "trial.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    for row, order in zip(rows, month.instructions(), strict=True):
        assert (row["id"], row["account"], int(row["amount_fen"])) == (order.id, order.account, order.amount)
        assert row["payee_name"] == (order.payee.name if order.payee else "")
