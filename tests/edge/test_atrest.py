"""Fields at rest: sealed for their place, found by keyed hash, refused under any other key."""

from __future__ import annotations

import os
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Halt, Refused
from gateway.edge.atrest import KEY_BYTES, LOOKUP_BYTES, OVERHEAD_BYTES, AtRest

MASTER = bytes(range(KEY_BYTES))
OTHER = bytes(reversed(range(KEY_BYTES)))
PLACE = b"attempt.account"


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_was_sealed_opens_again(plain: bytes, place: bytes) -> None:
    """Any value opens to itself in its place, and is longer by a constant."""
    at_rest = AtRest(MASTER)
    sealed = at_rest.seal(plain, place)
    assert at_rest.open(sealed, place) == plain
    assert len(sealed) == len(plain) + OVERHEAD_BYTES
    assert not plain or len(plain) < 4 or plain not in sealed


def test_many_at_once_is_the_same_as_one_by_one() -> None:
    """A sealed column opens to its values in their order."""
    at_rest = AtRest(MASTER)
    plains = [b"", b"6222021234567890123", "张三".encode()] * 40
    assert at_rest.open_many(at_rest.seal_many(plains, PLACE), PLACE) == plains
    assert at_rest.seal_many([], PLACE) == []


def test_no_nonce_is_used_twice() -> None:
    """Equal values never look equal, however they were sealed."""
    at_rest = AtRest(MASTER)
    sealed = [at_rest.seal(b"x", PLACE) for _ in range(5_000)] + at_rest.seal_many([b"x"] * 5_000, PLACE)
    assert len({value[1:13] for value in sealed}) == len(sealed)


def test_a_forked_child_draws_nonces_of_its_own() -> None:
    """After a fork, parent and child share no prepared nonce: a repeated nonce would give both plain texts away."""
    at_rest = AtRest(MASTER)
    at_rest.seal(b"prepares a batch", PLACE)
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, where the process has threads
        child = os.fork()
    if child == 0:
        os.write(write, b"".join(at_rest.seal(b"x", PLACE)[1:13] for _ in range(100)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 1200)
    os.close(read)
    os.close(write)
    assert len(theirs) == 1200
    ours = {at_rest.seal(b"x", PLACE)[1:13] for _ in range(3_000)}
    assert not ours & {theirs[at : at + 12] for at in range(0, 1200, 12)}


@pytest.mark.parametrize("at", [1, 5, 13, -1])
def test_one_changed_byte_halts(at: int) -> None:
    """Nonce, ciphertext and tag are all covered."""
    at_rest = AtRest(MASTER)
    sealed = bytearray(at_rest.seal(b"6222021234567890123", PLACE))
    sealed[at] ^= 1
    with pytest.raises(Halt, match="changed bytes"):
        at_rest.open(bytes(sealed), PLACE)


def test_a_value_moved_to_another_column_halts() -> None:
    """The place is part of the seal: an account cannot stand in for another column's value."""
    at_rest = AtRest(MASTER)
    with pytest.raises(Halt):
        at_rest.open(at_rest.seal(b"1", PLACE), b"instruction.id_number")


def test_a_wrong_master_halts() -> None:
    """The same key number with other bytes is a wrong key, not an empty value."""
    with pytest.raises(Halt, match="wrong key"):
        AtRest(OTHER).open(AtRest(MASTER).seal(b"1", PLACE), PLACE)


def test_an_unknown_key_number_halts() -> None:
    """A value under a key that is not configured says which one is missing."""
    with pytest.raises(Halt, match="key 7 is not configured"):
        AtRest(MASTER).open(AtRest(MASTER, 7).seal(b"1", PLACE), PLACE)
    with pytest.raises(Halt, match="key 7 is not configured"):
        AtRest(MASTER).file(b"salt", 7)


def test_a_value_cut_short_halts() -> None:
    """Fewer bytes than any sealed value has cannot be one."""
    at_rest = AtRest(MASTER)
    with pytest.raises(Halt, match="TRUNCATED"):
        at_rest.open(at_rest.seal(b"", PLACE)[:-1], PLACE)


def test_after_a_rotation_old_values_open_and_new_ones_use_the_new_key() -> None:
    """The older master stays readable beside the current one."""
    old = AtRest(MASTER, 1).seal(b"old", PLACE)
    now = AtRest(OTHER, 2, {1: MASTER})
    assert now.open(old, PLACE) == b"old"
    assert now.seal(b"new", PLACE)[0] == 2


def test_look_up_values_are_stable_keyed_and_apart() -> None:
    """The same value is found again; another value, another kind or another master never is."""
    at_rest = AtRest(MASTER)
    found = at_rest.lookup("account", "6222021234567890123")
    assert len(found) == LOOKUP_BYTES
    assert found == AtRest(MASTER).lookup("account", "6222021234567890123")
    others = [
        at_rest.lookup("account", "6222021234567890124"),
        at_rest.lookup("id_number", "6222021234567890123"),
        AtRest(OTHER).lookup("account", "6222021234567890123"),
    ]
    assert len({found, *others}) == 4


@pytest.mark.parametrize(("master", "number"), [(b"short", 1), (bytes(16), 1), (MASTER, 0), (MASTER, 256)])
def test_a_key_that_is_none_is_refused(master: bytes, number: int) -> None:
    """Length and number are checked at the start, not at the first value."""
    with pytest.raises(Refused):
        AtRest(master, number)


def test_a_number_given_twice_is_refused() -> None:
    """Two masters under one number could not be told apart."""
    with pytest.raises(Refused, match="twice"):
        AtRest(MASTER, 1, {1: OTHER})
