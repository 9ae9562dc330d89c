"""Verdicts: each with its meaning and next move, and only proof is inherited."""

from __future__ import annotations

import pytest

from gateway.core.verdicts import MEANINGS, Judgement, Move, Outcome, Verdict, inherits


def test_every_verdict_has_a_meaning() -> None:
    """Words in both languages and a next move for every Verdict, and no words twice."""
    assert set(MEANINGS) == set(Verdict)
    for meaning in MEANINGS.values():
        assert meaning.zh
        assert not meaning.zh.isascii()
        assert meaning.en
        assert meaning.en.isascii()
    assert (
        len({meaning.zh for meaning in MEANINGS.values()})
        == len({meaning.en for meaning in MEANINGS.values()})
        == len(Verdict)
    )


def test_every_move_is_some_verdicts() -> None:
    """No next move that nothing asks for."""
    assert {meaning.move for meaning in MEANINGS.values()} == set(Move)


def test_the_names_are_the_values() -> None:
    """What stands in the ledger and on the wire is the name in the code."""
    assert all(verdict.name == verdict.value for verdict in Verdict)


@pytest.mark.parametrize("verdict", Verdict)
def test_only_proof_is_inherited(verdict: Verdict) -> None:
    """Lines take a block's word only if it says that nothing was booked: refused or failed, for a reason that proves it."""
    proofs = {Verdict.FUNDS, Verdict.FORMAT_REFUSED, Verdict.TOTALS_REFUSED, Verdict.SEAL_REFUSED, Verdict.NOT_ALLOWED}
    for outcome in Outcome:
        expected = verdict in proofs and outcome in (Outcome.REFUSED, Outcome.FAILED)
        assert inherits(Judgement(outcome, verdict)) is expected


def test_a_duplicate_and_a_timeout_are_asked_about() -> None:
    """Neither is ever a failure: the bank may hold a first copy."""
    for verdict in (Verdict.DUPLICATE, Verdict.TIMEOUT):
        assert MEANINGS[verdict].move is Move.INQUIRE
        assert not MEANINGS[verdict].proves_unbooked


def test_the_three_reasons_of_the_reference_month() -> None:
    """挂失 and 换卡中 wait for a card, 户名不符 for a name."""
    assert (MEANINGS[Verdict.CARD_LOST].zh, MEANINGS[Verdict.CARD_LOST].move) == ("挂失", Move.WAIT_CARD)
    assert (MEANINGS[Verdict.CARD_REPLACING].zh, MEANINGS[Verdict.CARD_REPLACING].move) == ("换卡中", Move.WAIT_CARD)
    assert (MEANINGS[Verdict.NAME_MISMATCH].zh, MEANINGS[Verdict.NAME_MISMATCH].move) == ("户名不符", Move.WAIT_NAME)


def test_only_an_unknown_code_is_parked() -> None:
    """A person looks where no rule applies."""
    assert [verdict for verdict in Verdict if Judgement(Outcome.NONE, verdict).parked] == [Verdict.UNKNOWN_CODE]
