"""The month of a town with a bank for every format that pays: who banks where, who fails where, and that no format is forgotten."""

from __future__ import annotations

from collections import Counter

import pytest

import adapters
from gateway.core.bank import WireKind
from gateway.core.contracts import Instruction
from gateway.sandbox.failures import SPLIT, Mend, counts
from gateway.sandbox.month import ALL_BANKS, ALL_PAYMENTS, ALL_PAYMENTS_MIN, BANKS, Month, generate, month_minor
from gateway.sandbox.names_data import RARE

REASONS = frozenset(SPLIT)
BY_CODE = {bank.code: bank for bank in ALL_BANKS}


@pytest.fixture(scope="module")
def month() -> Month:
    """As the demo plays it."""
    return generate(ALL_PAYMENTS, banks=ALL_BANKS)


@pytest.fixture(scope="module")
def paid(month: Month) -> list[Instruction]:
    """All of its payments."""
    return list(month.instructions())


def test_every_format_that_pays_has_a_bank() -> None:
    """By discovery: a new format needs a bank here, over a wire that it has; the four of the reference month come first."""
    found = adapters.discover()
    assert {bank.adapter for bank in ALL_BANKS} == {code for code, adapter in found.items() if adapter.pays}
    assert all(bank.wire in found[bank.adapter].routes for bank in ALL_BANKS)
    assert {bank.wire for bank in ALL_BANKS} == set(WireKind) - {WireKind.AMQP}
    assert [bank._replace(share=0) for bank in ALL_BANKS[: len(BANKS)]] == [bank._replace(share=0) for bank in BANKS]


def test_banks_share_the_payments_and_nothing_else() -> None:
    """A hundred percent in all; codes, BINs, customer and clearing numbers of their own."""
    assert sum(bank.share for bank in ALL_BANKS) == 100
    for field in ("code", "name", "name_zh", "bin_prefix", "customer", "clearing_code"):
        assert len({getattr(bank, field) for bank in ALL_BANKS}) == len(ALL_BANKS)


def test_what_a_bank_does_not_tell_its_format_has_no_words_for() -> None:
    """Once a table has a row for it, failures for that reason are planned there too."""
    found = adapters.discover()
    for bank in ALL_BANKS:
        known = {row.verdict for row in found[bank.adapter].codes.values()}
        assert not (REASONS - bank.tells) & known, bank.code


def test_a_bank_holds_the_names_that_its_format_can_write() -> None:
    """Character by character."""
    found = adapters.discover()
    for bank in ALL_BANKS:
        for character in RARE:
            assert bank.holds(character) == (not found[bank.adapter].encodable(character)), (bank.code, character)


def test_the_sum_is_that_of_the_reference_month(paid: list[Instruction]) -> None:
    """The same people and amounts, at other banks; nobody has a card at a bank that cannot write the name."""
    elsewhere = list(generate(ALL_PAYMENTS).instructions())
    assert [(order.person, order.amount) for order in paid] == [(order.person, order.amount) for order in elsewhere]
    assert sum(order.amount for order in paid) == month_minor(ALL_PAYMENTS)
    banks = Counter(order.bank for order in paid)
    for bank in ALL_BANKS:
        assert abs(banks[bank.code] * 100 - bank.share * ALL_PAYMENTS) < ALL_PAYMENTS
    assert all(BY_CODE[order.bank].holds((order.payee or order.person).name) for order in paid)


def test_every_bank_that_tells_reasons_has_failures(month: Month, paid: list[Instruction]) -> None:
    """As many as of the reference month, each where its reason is told, none where all would be parked."""
    assert Counter(month.failures.values()) == counts(ALL_PAYMENTS)
    by_id = {order.id: order for order in paid}
    for instruction_id, (order, plan) in month.plans.items():
        assert order == by_id[instruction_id]
        assert plan.verdict in BY_CODE[order.bank].tells
        assert month.scenario(order.bank)[order.account] is plan
    assert {order.bank for order, _ in month.plans.values()} == {bank.code for bank in ALL_BANKS if bank.tells}


def test_a_second_payment_goes_where_the_name_can_be_written() -> None:
    """Also to another bank than the first."""
    month = generate(200_000, banks=ALL_BANKS)
    moved = [(order, plan) for order, plan in month.plans.values() if plan.mend is Mend.OTHER_BANK]
    assert moved
    for order, plan in moved:
        assert plan.to_bank != order.bank
        assert BY_CODE[plan.to_bank].holds((order.payee or order.person).name)
        assert plan.to_account.startswith(BY_CODE[plan.to_bank].bin_prefix)


def test_a_small_month_has_its_failures_too() -> None:
    """One of each reason; where there are too few payments for that, it says so."""
    assert set(generate(ALL_PAYMENTS_MIN, banks=ALL_BANKS).failures.values()) == REASONS
    speaks, silent = BANKS[0]._replace(share=1), BANKS[1]._replace(share=99, tells=frozenset())
    with pytest.raises(ValueError, match="nobody is left"):
        _ = generate(3, banks=(speaks, silent)).failures
