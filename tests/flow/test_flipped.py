"""One other byte anywhere in what a bank has sealed, or the end missing anywhere: refused, and nothing is applied (P7).

For every format whose trust is the seal: the answer of its golden case, sealed with the bank's own key by the shape that the format declares,
goes through the real Crypto port and the one inbound door.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import pytest

from adapters.standards import head001
from gateway.codec import xmldsig
from gateway.core.adapter import Adapter, Trust
from gateway.core.bank import Attached, Bank, Detached, Enveloped, Head, Inline, Row, SealSlot
from gateway.core.errors import Code, Malformed, SheyinError
from gateway.core.partner import Partner
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.keys import KeyFile, load_keys, load_pins, load_secrets
from gateway.edge.crypto.pins import Pins
from gateway.edge.crypto.pki import DevPki, make, sign_name, sm2_name
from gateway.edge.crypto.seals import EngineCrypto
from gateway.edge.crypto.software import SoftwareEngine
from gateway.edge.work import InlineWork
from gateway.flow import seals
from gateway.flow.collect import Collector
from gateway.flow.sealing import Sealer
from tests.adapters.suite import PAYING
from tests.flow.conftest import MakeHouse
from tests.flow.golden import CODE, FIRST, Case, at_the_bank, cases, once, recording
from tests.flow.house import START, House

SEALED = {
    case.folder.parent.name: case for case in cases() if case.adapter.trust is Trust.SEAL and case.folder.name == FIRST
}
BANK = "bank"


class Sealed(NamedTuple):
    """What the bank lays out: a file, and the seal beside it where there is one."""

    payload: bytes
    seal: bytes | None


@pytest.fixture(scope="session")
def both_keys(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """The bureau's and the bank's, RSA and SM2."""
    return make(tmp_path_factory.mktemp("both"), [CODE], datetime(2015, 1, 1, tzinfo=UTC), sm2_banks=[CODE])


def chinese(adapter: Adapter) -> bool:
    """Whether the seal is made with SM2."""
    shape = adapter.seal
    return shape.algorithm.startswith("sm2") if isinstance(shape, Inline) else getattr(shape, "form", "") == "gmt0010"


class Place(NamedTuple):
    """A house whose Document is at the bank, and the bank's answer under its seal."""

    house: House
    partner: Partner
    reference: str
    answer: Sealed

    async def take(self, *letters: Sealed) -> list[tuple[str, str]]:
        """Bring them in through the door, apply what may be, and say what became of them."""
        before = len(self.house.inbound())
        for number, letter in enumerate(letters, before):
            stream = once(letter.payload)
            await self.house.collector.take_in(
                self.partner, f"{number}.bin", stream, "folder", letter.seal, self.reference
            )
        await self.house.collector.step(self.partner)
        return self.house.inbound()[before:]

    async def as_it_was(self) -> None:
        """The answer itself is applied after all, and every fen is accounted for."""
        assert await self.take(self.answer) == [("applied", "")]
        assert self.house.states() == ["paid", "failed", "paid"]
        await self.house.sound()


@pytest.fixture(params=sorted(SEALED))
async def place(request: pytest.FixtureRequest, make_house: MakeHouse, both_keys: DevPki) -> Place:
    """One for each format."""
    case = SEALED[request.param]
    key, pin = ("bureau-sm2-sign", sm2_name(CODE)) if chinese(case.adapter) else ("bureau-sign", sign_name(CODE))
    house = make_house(case.bank())
    bank = case.bank(pins=(pin,), sign_key=key, sealed=True)
    house.partners[CODE] = Partner(bank=bank, adapter=recording(case.adapter, []))
    _with_keys(house, both_keys)
    reference = await at_the_bank(house, case)
    answer = await _sealed(case, bank, _of_the_bank(both_keys, pin, house))
    return Place(house, house.partners[CODE], reference, answer)


def _with_keys(house: House, keys: DevPki) -> None:
    credentials = Credentials(keys.folder, {})
    own = load_keys(keys.bureau.keys, credentials, keys.folder)
    pins = Pins(load_pins(keys.bureau.pins, own, keys.folder))
    secrets = load_secrets(keys.bureau.secrets, credentials)
    work = InlineWork()
    house.crypto = EngineCrypto(SoftwareEngine(own, work), pins, house.clock, work, secrets)
    house.sealer = Sealer(house.ledger, house.archive, house.crypto, work, house.clock, house.points, "社保局")
    house.collector = Collector(house.ledger, house.archive, house.crypto, work, house.clock, house.points)


def _of_the_bank(keys: DevPki, pin: str, house: House) -> EngineCrypto:
    file = KeyFile(use="sign", file=f"{pin}.key", certificate=f"{pin}.crt")
    own = load_keys({BANK: file}, Credentials(keys.folder, {}), keys.folder)
    return EngineCrypto(SoftwareEngine(own, InlineWork()), Pins({}), house.clock, InlineWork())


async def _sealed(case: Case, bank: Bank, crypto: EngineCrypto) -> Sealed:
    """The case's answer under the seal that the format declares."""
    said, shape = case.held("result.bin"), case.adapter.seal
    match shape:
        case Detached():
            digest = hashlib.sha256(said).digest()
            return Sealed(said, await seals.beside(crypto, BANK, shape, io.BytesIO(said), digest, START))
        case Attached():
            return Sealed(await seals.around(crypto, BANK, shape, io.BytesIO(said), START), None)
        case Inline():
            signed, old = shape.split(said)
            new = await crypto.sign(BANK, shape.algorithm, signed, shape.signer_id(bank) if shape.signer_id else "")
            written: tuple[Callable[[bytes], bytes], ...] = (base64.b64encode, lambda raw: raw.hex().encode(), bytes)
            write = next(each for each in written if each(old) in said)
            return Sealed(said.replace(write(old), write(new)), None)
        case Enveloped():
            assert shape.location == head001.SIGNATURE_PATH
            head = next(iter(case.adapter.read(io.BytesIO(said))))
            chunks = list(
                head001.wrapped([said], bank, reference="ANSWER1", message=getattr(head, "message", ""), created=START)
            )
            canonical = b"".join(chunk for chunk in chunks if not isinstance(chunk, SealSlot))
            shown = xmldsig.signed_info(hashlib.sha256(canonical).digest())
            value = await crypto.sign(BANK, seals.RSA, shown)
            signature = xmldsig.signature(shown, value, crypto.certificate(BANK))
            return Sealed(b"".join(signature if isinstance(chunk, SealSlot) else chunk for chunk in chunks), None)
    raise AssertionError(f"no seal to make for {case}")


def flips(content: bytes) -> Iterator[bytes]:
    """The bytes with one of them another one, at every place: the lowest bit, which makes of a digit another digit."""
    for at, byte in enumerate(content):
        yield content[:at] + bytes((byte ^ 1,)) + content[at + 1 :]


def uncovered(place: Place) -> Collection[int]:
    """Places that no signature covers: the certificate that an XML signature carries; what is not among chosen values that are signed."""
    shape, content = place.partner.adapter.seal, place.answer.payload
    if isinstance(shape, Inline) and shape.whole:
        return frozenset(
            at for at, other in enumerate(flips(content)) if _split(shape, other) == _split(shape, content)
        )
    return carried(place)


def _split(shape: Inline, document: bytes) -> tuple[bytes, bytes] | None:
    try:
        return shape.split(document)
    except (Malformed, ValueError):
        return None


def carried(place: Place) -> range:
    """Where an XML signature carries its certificate: a hint that no signature covers and nobody trusts, because the pinned copy counts."""
    if not isinstance(place.partner.adapter.seal, Enveloped):
        return range(0)
    opening = b"<ds:X509Certificate>"
    start = place.answer.payload.index(opening) + len(opening)
    return range(start, place.answer.payload.index(b"</ds:X509Certificate>"))


def test_every_sealed_format_is_here() -> None:
    """By discovery: a format whose trust is the seal has a golden case."""
    assert set(SEALED) == {code for code, adapter in PAYING.items() if adapter.trust is Trust.SEAL}


async def test_one_other_byte(place: Place) -> None:
    """Every byte of the file in turn: quarantined, nothing moves; then the file itself is applied."""
    house, answer, hint = place.house, place.answer, uncovered(place)
    before = house.totals()
    letters = [answer._replace(payload=payload) for at, payload in enumerate(flips(answer.payload)) if at not in hint]
    became = await place.take(*letters)
    assert len(became) == len(answer.payload) - len(hint)
    assert {state for state, _ in became} == {"quarantined"}
    assert house.totals() == before
    await place.as_it_was()


async def unbelieved(place: Place, letters: list[Sealed]) -> None:
    """None passes the Crypto port; every fiftieth is tried at the door too, where nothing moves; then the answer itself is applied."""
    bank, shape = place.partner.bank, place.partner.adapter.seal
    assert shape is not None
    for letter in letters:
        with pytest.raises(SheyinError):
            place.house.crypto.verify(bank, shape, io.BytesIO(letter.payload), letter.seal, START)
    before = place.house.totals()
    became = await place.take(*letters[::50])
    assert {state for state, _ in became} <= {"quarantined"}
    assert place.house.totals() == before
    await place.as_it_was()


async def test_one_other_byte_of_a_seal_beside_it(place: Place) -> None:
    """Every byte of the seal's own file in turn, where there is one."""
    answer = place.answer
    assert (answer.seal is not None) == isinstance(place.partner.adapter.seal, Detached)
    await unbelieved(place, [answer._replace(seal=seal) for seal in flips(answer.seal or b"")])


async def test_the_end_is_missing(place: Place) -> None:
    """Cut at every byte, of the file and of a seal beside it."""
    answer = place.answer
    cut = [answer._replace(payload=answer.payload[:size]) for size in range(len(answer.payload))]
    seal = answer.seal or b""
    await unbelieved(place, [*cut, *(answer._replace(seal=seal[:size]) for size in range(len(seal)))])


async def test_a_certificate_that_is_carried_is_only_a_hint(place: Place) -> None:
    """Whatever stands there, what is read is what was signed."""
    answer, partner = place.answer, place.partner
    assert partner.adapter.seal is not None
    verify = place.house.crypto.verify
    signed = verify(partner.bank, partner.adapter.seal, io.BytesIO(answer.payload), answer.seal, START).signed.read()
    for at in carried(place):
        other = bytearray(answer.payload)
        other[at] ^= 1
        found = verify(partner.bank, partner.adapter.seal, io.BytesIO(bytes(other)), answer.seal, START)
        assert found.signed.read() == signed


async def test_what_no_signature_covers_decides_nothing(place: Place) -> None:
    """Where chosen values are signed: whatever else stands there, each payment's reference, amount and outcome stay what they were."""
    adapter, agreement = place.partner.adapter, place.partner.bank.agreement
    if not (isinstance(adapter.seal, Inline) and adapter.seal.whole):
        assert uncovered(place) == carried(place)
        return

    def outcomes(document: bytes) -> list[tuple[object, ...]]:
        head, *items = adapter.read(io.BytesIO(document))
        assert isinstance(head, Head)
        rows = [item for item in items if isinstance(item, Row)]
        said = [(row.ref, row.amount, row.currency, adapter.judge(head, None, row, agreement).outcome) for row in rows]
        return [(head.kind, head.original, adapter.judge(head, None, None, agreement).outcome), *said]

    places = uncovered(place)
    assert places
    others = list(flips(place.answer.payload))
    assert {tuple(outcomes(others[at])) for at in places} == {tuple(outcomes(place.answer.payload))}


async def test_above_the_cap(place: Place) -> None:
    """A file above the format's cap is not taken through the door at all: SIZE, and nothing is recorded."""
    most = len(place.answer.payload) - 1
    small = msgspec.structs.replace(place.partner.limits, document_bytes_max=most)
    bank = msgspec.structs.replace(place.partner.bank, limits=small)
    capped = place._replace(partner=msgspec.structs.replace(place.partner, bank=bank))
    with pytest.raises(Malformed) as error:
        await capped.take(place.answer)
    assert error.value.code is Code.SIZE
    assert not place.house.inbound()
    await place.as_it_was()
