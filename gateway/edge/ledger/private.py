"""What stands encrypted: account and id numbers, packed into one sealed value per row, with keyed 64-bit hashes to find them by.

One AES-GCM call per row instead of one per field halves the cost of encryption at rest (it is a tenth of intake). The parts are joined by
U+001F, which no accepted field can contain.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from gateway.core.contracts import Instruction, Party
from gateway.core.ids import canonical_id
from gateway.edge.atrest import AtRest

_AAD = b"instruction.sealed"
_ACCOUNT = b"correction.sealed"
_RAW = b"raw"
_SEP = "\x1f"


class Private(NamedTuple):
    """The sealed parts of one instruction."""

    account: str
    id_type: str  # of the payee
    id_number: str
    person_name: str  # the insured person
    person_id_type: str
    person_id_number: str
    alternative_bank: str = ""
    alternative_account: str = ""


def private(instruction: Instruction) -> Private:
    """The parts of an instruction that are sealed."""
    person = instruction.person
    payee = instruction.payee or person
    other = instruction.alternative
    return Private(
        instruction.account,
        payee.id_type,
        payee.id_number,
        person.name,
        person.id_type,
        person.id_number,
        other.bank if other else "",
        other.account if other else "",
    )


def seal_many(atrest: AtRest, parts: list[Private]) -> list[bytes]:
    """Sealed values for a column of rows."""
    return atrest.seal_many([_SEP.join(part).encode() for part in parts], _AAD)


def unseal(atrest: AtRest, sealed: bytes) -> Private:
    """The parts again. Raises Halt if the key or the bytes are wrong."""
    return Private(*atrest.open(sealed, _AAD).decode().split(_SEP))


def seal_account(atrest: AtRest, account: str) -> bytes:
    """A corrected account."""
    return atrest.seal(account.encode(), _ACCOUNT)


def unseal_account(atrest: AtRest, sealed: bytes) -> str:
    """The corrected account again."""
    return atrest.open(sealed, _ACCOUNT).decode()


def seal_raw(atrest: AtRest, raw: bytes) -> bytes:
    """The raw bytes of something refused: kept, but not readable at rest."""
    return atrest.seal(raw, _RAW)


def open_raw(atrest: AtRest, sealed: bytes) -> bytes:
    """Those bytes again."""
    return atrest.open(sealed, _RAW)


def person_hash(atrest: AtRest, person: Party) -> int:
    """Under which an insured person is found; 15- and 18-digit ids of one person agree."""
    return _hash(atrest.lookup("person", f"{person.id_type}:{canonical_id(person.id_type, person.id_number)}"), 0)


def account_hash(atrest: AtRest, account: str) -> int:
    """Under which an account is found."""
    return _hash(atrest.lookup("account", account), 1)


def same_hash(person: int, amount: int, item: str, sequence: int, period: str) -> int:
    """Under which another payment of the same to the same person for the same month is found; ``person``: its keyed hash."""
    return _hash(blake2b(f"{person}:{amount}:{item}:{sequence}:{period}".encode(), digest_size=8).digest(), 2)


def _hash(digest: bytes, kind: int) -> int:
    """62 bits and the kind: no two hashes of one instruction are equal. Among ten million rows two meet by chance once in 90,000 such ledgers,
    and a look-up compares what it opens."""
    return int.from_bytes(digest[:8], "big", signed=True) & ~3 | kind
