"""One contract over three engines: whoever holds the key, what comes out is the same, and what goes wrong is told the same way."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_der_x509_certificate

from gateway.codec import enveloped
from gateway.core.bank import Bank, WireKind
from gateway.core.errors import Code, Refused, Unavailable, Unverified
from gateway.edge.crypto import ConfiguredCrypto, KeyFile, KeyFiles, PinFile
from gateway.edge.crypto.keys import Device, Service, load_held
from gateway.edge.crypto.pki import DevPki
from gateway.edge.crypto.remote import RemoteEngine, SignRequest, request_digest
from gateway.edge.work import ThreadWork
from gateway.sandbox.signing_service import Fault, SigningService
from tests.edge import engine_bench as bench
from tests.edge.seal_forms import FORMS, Form, signed_part
from tests.servers import ROOT

ENGINES = ("files", "pkcs11", "service")
DATA = b"H|SHEYIN|1|PAY\n" * 1000


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """The bureau's keys, whoever holds them."""
    return bench.make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def token(
    keys: DevPki, tmp_path_factory: pytest.TempPathFactory, outside_program: Callable[[str], str]
) -> Iterator[None]:
    """The RSA keys in SoftHSM."""
    folder = tmp_path_factory.mktemp("token")
    bench.make_token(keys, folder, outside_program)
    yield
    bench.forget_token(folder)


@pytest.fixture
async def running(keys: DevPki) -> AsyncIterator[SigningService]:
    """The keys behind a signing service."""
    async with bench.running_service(keys) as started:
        yield started


@pytest.fixture(params=ENGINES)
async def crypto(
    request: pytest.FixtureRequest, keys: DevPki, running: SigningService
) -> AsyncIterator[ConfiguredCrypto]:
    """The port over each engine."""
    options: Device | Service | None = None
    if request.param == "pkcs11":
        request.getfixturevalue("token")
        options = bench.device()
    elif request.param == "service":
        options = bench.service(running.address)
    port = bench.port(keys, bench.engine_files(keys, "somewhere", options))
    yield port
    await port.close()


@pytest.fixture
def offers_sm2(request: pytest.FixtureRequest) -> bool:
    """PKCS#11 has no mechanism for it, and SoftHSM none of its own."""
    return "pkcs11" not in request.node.callspec.params.values()


# ---------------------------------------------------------------------------------------------------- the contract


async def test_it_signs_with_rsa(crypto: ConfiguredCrypto) -> None:
    """The outside library finds it right; a thousand lines and none at all."""
    key = load_der_x509_certificate(crypto.certificate("bureau-sign")).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    for data in (DATA, b""):
        key.verify(await crypto.sign("bureau-sign", "rsa-sha256", data), data, padding.PKCS1v15(), hashes.SHA256())
    stream = await crypto.sign_stream("bureau-sign", "rsa-sha256", io.BytesIO(DATA))
    assert stream == await crypto.sign("bureau-sign", "rsa-sha256", DATA)


async def test_it_signs_with_sm2_or_says_that_it_cannot(crypto: ConfiguredCrypto, offers_sm2: bool) -> None:
    """In both forms, under the default id and another; a device that has no such mechanism refuses, and nothing is sent."""
    for algorithm in ("sm2-sm3", "sm2-sm3-raw"):
        for signer_id in ("", "U003123456000000"):
            if offers_sm2:
                assert await crypto.sign("bureau-sm2-sign", algorithm, DATA, signer_id)
            else:
                with pytest.raises(Refused) as error:
                    await crypto.sign("bureau-sm2-sign", algorithm, DATA, signer_id)
                assert error.value.code is Code.CERT


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
async def test_every_form_of_seal_is_made_and_believed(
    keys: DevPki, crypto: ConfiguredCrypto, offers_sm2: bool, form: Form
) -> None:
    """The bank, which knows nothing of engines, verifies it."""
    if form.sm2 and not offers_sm2:
        with pytest.raises(Refused):
            await form.make(crypto, "bureau-sm2-sign", DATA)
        return
    partner = bench.port(keys, keys.banks["BANK_A"])
    name = "bureau-sm2-sign" if form.sm2 else "bureau-sign"
    bureau = Bank(code="US", name="us", adapter="x", wire=WireKind.FOLDER, customer="U003123456", pins=(name,))
    document, beside = await form.make(crypto, name, DATA)
    found = partner.verify(bureau, form.shape, io.BytesIO(document), beside, bench.JUNE)
    assert (found.by, found.signed.read()) == (name, signed_part(form, DATA))


async def test_it_opens_what_was_encrypted_to_us(keys: DevPki, crypto: ConfiguredCrypto) -> None:
    """And gives for a broken envelope the one answer that tells nothing."""
    pinned = KeyFiles(pins={"bureau": PinFile(use="encrypt", file="bureau-decrypt.crt")})
    made = await bench.port(keys, pinned).encrypt("bureau", "cms-enveloped", DATA)
    assert await crypto.decrypt("bureau-decrypt", "cms-enveloped", made) == DATA
    wrapped = enveloped.parse(made, 1 << 20).recipients[0].wrapped
    for broken in (bytes(len(wrapped)), wrapped[:-1] + bytes([wrapped[-1] ^ 1])):
        with pytest.raises(Unverified, match="does not open"):
            await crypto.decrypt("", "cms-enveloped", made.replace(wrapped, broken))


async def test_uses_are_kept_apart(crypto: ConfiguredCrypto) -> None:
    """Wherever the key lives: the certificate says what it is for, before the engine is asked."""
    for key, algorithm in (
        ("bureau-decrypt", "rsa-sha256"),
        ("bureau-sm2-decrypt", "sm2-sm3"),
        ("nobody", "rsa-sha256"),
    ):
        with pytest.raises(Refused) as error:
            await crypto.sign(key, algorithm, DATA)
        assert error.value.code is Code.CERT
    with pytest.raises(Refused):
        await crypto.decrypt("bureau-sign", "cms-enveloped", b"")


async def test_many_ask_at_once(crypto: ConfiguredCrypto) -> None:
    """Each gets the signature over its own bytes."""
    documents = [str(number).encode() for number in range(40)]
    signatures = await asyncio.gather(*(crypto.sign("bureau-sign", "rsa-sha256", data) for data in documents))
    key = load_der_x509_certificate(crypto.certificate("bureau-sign")).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    for data, signature in zip(documents, signatures, strict=True):
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())


# ---------------------------------------------------------------------------------------------------- a device's own troubles


async def test_a_wrong_pin_is_tried_once(keys: DevPki, token: None) -> None:
    """A device locks itself after some wrong tries: the first refusal is remembered, whatever is asked next."""
    wrong = bench.port(keys, bench.engine_files(keys, "hsm", bench.device()), pin="000000")
    for _ in range(12):
        with pytest.raises(Unavailable, match="not tried again"):
            await wrong.sign("bureau-sign", "rsa-sha256", DATA)
    right = bench.port(keys, bench.engine_files(keys, "hsm", bench.device()))
    assert await right.sign("bureau-sign", "rsa-sha256", DATA), "twelve tries would have locked the token"
    await right.close()


@pytest.mark.parametrize(("change", "word"), [({"token": "other"}, "away"), ({"library": "/nowhere.so"}, "away")])
async def test_a_device_that_is_not_there_is_unavailable(
    keys: DevPki, token: None, change: dict[str, str], word: str
) -> None:
    """Another token in the slot, no library: nothing is known to have happened, and it is asked again next time."""
    port = bench.port(keys, bench.engine_files(keys, "hsm", bench.device(**change)))  # type: ignore[arg-type]  # words
    for _ in range(2):
        with pytest.raises(Unavailable, match=word):
            await port.sign("bureau-sign", "rsa-sha256", DATA)


async def test_a_key_that_the_device_lacks_is_named(keys: DevPki, token: None) -> None:
    """By the name that it was looked for under."""
    files = bench.engine_files(keys, "hsm", bench.device())
    moved = {
        **files.keys,
        "bureau-sign": KeyFile(use="sign", engine="hsm", id="elsewhere", certificate="bureau-sign.crt"),
    }
    port = bench.port(keys, KeyFiles(keys=moved, engines=files.engines))
    with pytest.raises(Unavailable, match="'elsewhere'"):
        await port.sign("bureau-sign", "rsa-sha256", DATA)
    await port.close()


async def test_a_session_that_was_closed_is_opened_again(keys: DevPki, token: None) -> None:
    """After a close, and after the certificate's owner is asked again."""
    port = bench.port(keys, bench.engine_files(keys, "hsm", bench.device()))
    before = await port.sign("bureau-sign", "rsa-sha256", DATA)
    await port.close()
    assert await port.sign("bureau-sign", "rsa-sha256", DATA) == before
    await port.close()


async def test_the_devices_key_must_be_the_certificates(keys: DevPki, token: None) -> None:
    """A token with another key under the name signs, and the signature is never handed out."""
    files = bench.engine_files(keys, "hsm", bench.device())
    moved = {
        **files.keys,
        "bureau-sign": KeyFile(use="sign", engine="hsm", id="bureau-decrypt", certificate="bureau-sign.crt"),
    }
    port = bench.port(keys, KeyFiles(keys=moved, engines=files.engines))
    with pytest.raises(Unavailable, match="does not hold"):
        await port.sign("bureau-sign", "rsa-sha256", DATA)
    await port.close()


# ---------------------------------------------------------------------------------------------------- a service's own troubles


def remote(keys: DevPki, options: Service, clock: Callable[[], float] | None = None) -> RemoteEngine:
    """The engine by itself, with a clock of the test's."""
    held = load_held(bench.engine_files(keys, "s", options).keys, {}, keys.folder)
    return RemoteEngine("s", options, held, keys.folder, clock or (lambda: 0.0))


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault.UNWELL, "answers 503"),
        (Fault.SILENT, "no answer in 1 s"),
        (Fault.OTHER_REQUEST, "another question"),
        (Fault.GARBAGE, "not the agreed one"),
        (Fault.ENDLESS, "more than 65536 bytes"),
        (Fault.OTHER_DIGEST, "does not hold"),
    ],
)
async def test_a_bad_service_is_unavailable(keys: DevPki, running: SigningService, fault: Fault, word: str) -> None:
    """Slow, unwell, talking of something else, signing something else: no signature comes out, and each was asked once."""
    port = bench.port(keys, bench.engine_files(keys, "s", bench.service(running.address, deadline_s=1)))
    running.fault = fault
    with pytest.raises(Unavailable, match=word):
        await port.sign("bureau-sign", "rsa-sha256", DATA)
    assert len(running.asked) == 1
    await port.close()


async def test_a_redirect_is_not_followed(keys: DevPki, running: SigningService) -> None:
    """Not even to itself: another place is another service."""
    port = bench.port(keys, bench.engine_files(keys, "s", bench.service(running.address)))
    running.fault = Fault.ELSEWHERE
    with pytest.raises(Refused, match="307"):
        await port.sign("bureau-sign", "rsa-sha256", DATA)
    assert [what for what, _ in running.asked] == ["sign"]
    await port.close()


async def test_a_service_that_failed_is_left_alone_for_a_while(keys: DevPki, running: SigningService) -> None:
    """No storm: a thousand who ask in that time are told at once; the pause doubles, and ends with the first good answer."""
    now = [0.0]
    engine = remote(keys, bench.service(running.address), lambda: now[0])
    digest = sha256(DATA).digest()
    running.fault = Fault.GARBAGE
    moments = []
    for _ in range(1000):
        before = len(running.asked)
        with pytest.raises(Unavailable):
            await engine.sign("bureau-sign", "rsa-sha256", digest)
        if len(running.asked) > before:
            moments.append(now[0])
        now[0] += 0.25
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert 5 <= len(moments) <= 20
    assert pauses[0] <= 1.25
    assert max(pauses) >= 30
    running.fault = Fault.NONE
    now[0] += 61
    assert await engine.sign("bureau-sign", "rsa-sha256", digest)
    assert await engine.sign("bureau-sign", "rsa-sha256", digest), "at once again"
    await engine.close()


async def test_a_service_that_asks_for_peace_gets_it(keys: DevPki, running: SigningService) -> None:
    """``Retry-After`` counts, as seconds."""
    now = [0.0]
    engine = remote(keys, bench.service(running.address), lambda: now[0])
    running.fault = Fault.UNWELL
    for now[0] in (0.0, 29.0, 31.0):
        with pytest.raises(Unavailable):
            await engine.sign("bureau-sign", "rsa-sha256", sha256(DATA).digest())
    assert len(running.asked) == 2
    await engine.close()


async def test_what_the_service_refuses_is_refused(keys: DevPki, running: SigningService) -> None:
    """A key that it does not have: told in its own words, and it counts as well all the same."""
    files = bench.engine_files(keys, "s", bench.service(running.address))
    moved = {
        **files.keys,
        "bureau-sign": KeyFile(use="sign", engine="s", id="elsewhere", certificate="bureau-sign.crt"),
    }
    port = bench.port(keys, KeyFiles(keys=moved, engines=files.engines))
    with pytest.raises(Refused, match="404: no signing key is called elsewhere"):
        await port.sign("bureau-sign", "rsa-sha256", DATA)
    await port.close()


async def test_a_request_names_itself_and_never_holds_the_document(keys: DevPki, running: SigningService) -> None:
    """Key, algorithm, digest, and the SHA-256 over those: what both sides can log and compare."""
    port = bench.port(keys, bench.engine_files(keys, "s", bench.service(running.address)))
    await port.sign("bureau-sign", "rsa-sha256", DATA)
    ((what, body),) = running.asked
    assert what == "sign"
    assert set(body) == {"key", "algorithm", "digest", "request"}
    lines = f"sign\n{body['key']}\n{body['algorithm']}\n{body['digest']}\n"
    assert body["request"] == sha256(lines.encode()).hexdigest()
    await port.close()


@pytest.mark.parametrize("page", ["signing-service.md", "signing-service.zh-CN.md"])
def test_the_documented_request_names_itself(page: str) -> None:
    """The example of either page is a request that a service written after it would take."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    example = text.partition("```json\n")[2].partition("\n```")[0]
    request = msgspec.json.decode(example, type=SignRequest)
    assert request.request == request_digest("sign", request.key, request.algorithm, request.digest)


async def test_health_and_certificates_are_compared_with_ours(keys: DevPki, running: SigningService) -> None:
    """The service's list is never believed, only compared: a key that it lacks or knows otherwise is named."""
    engine = remote(keys, bench.service(running.address))
    await engine.healthy()
    assert await engine.differences() == []
    running.forget("bureau-sign")
    assert await engine.differences() == ["bureau-sign"]
    running.fault = Fault.UNWELL
    with pytest.raises(Unavailable):
        await engine.healthy()
    await engine.close()


async def test_the_service_may_come_back_on_its_port(keys: DevPki, running: SigningService) -> None:
    """Stopped, it is away; started again, it signs: the same engine goes on."""
    now = [0.0]
    engine = remote(keys, bench.service(running.address), lambda: now[0])
    digest = sha256(DATA).digest()
    first = await engine.sign("bureau-sign", "rsa-sha256", digest)
    await running.stop()
    with pytest.raises(Unavailable):
        await engine.sign("bureau-sign", "rsa-sha256", digest)
    await running.start()
    now[0] += 5
    assert await engine.sign("bureau-sign", "rsa-sha256", digest) == first
    await engine.close()


async def test_tls_goes_both_ways(keys: DevPki, running: SigningService, tmp_path: Path) -> None:
    """A client that is not let in, and a server that is not the pinned one: neither speaks to the other."""
    stranger = bench.service(running.address, client="bank_a-sign")
    other_server = Service(
        address=running.address,
        ca="bank_a-sign.crt",
        certificate="signing-service-client.crt",
        key="signing-service-client.key",
    )
    for options in (stranger, other_server):
        engine = remote(keys, options)
        with pytest.raises(Unavailable):
            await engine.sign("bureau-sign", "rsa-sha256", sha256(DATA).digest())
        await engine.close()
    assert running.asked == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "https://", "https://host/path", "ftp://host", "host:1"])
def test_an_address_without_tls_does_not_start(keys: DevPki, address: str) -> None:
    """Digests and signatures never travel in the clear."""
    with pytest.raises(Refused, match="https://host:port"):
        remote(keys, bench.service(address))


# ---------------------------------------------------------------------------------------------------- the configuration


@pytest.mark.parametrize(
    "file",
    [
        KeyFile(use="sign", engine="nowhere", certificate="bureau-sign.crt"),
        KeyFile(use="sign", engine="s"),
        KeyFile(use="sign", engine="s", file="bureau-sign.key", certificate="bureau-sign.crt"),
        KeyFile(use="sign", id="x", file="bureau-sign.key", certificate="bureau-sign.crt"),
        KeyFile(use="sign"),
    ],
)
def test_a_key_that_is_nowhere_or_in_two_places_does_not_start(keys: DevPki, file: KeyFile) -> None:
    """No such engine, no certificate, a file as well, an id without an engine, nothing at all."""
    with pytest.raises(Refused) as error:
        bench.port(keys, KeyFiles(keys={"k": file}, engines={"s": bench.service("https://127.0.0.1:1")}))
    assert error.value.code is Code.SCHEMA


def test_one_key_in_an_engine_and_in_a_file_keeps_its_one_use(keys: DevPki) -> None:
    """The rule of one key, one use, holds over all places; and no pin is a key of ours."""
    options = bench.service("https://127.0.0.1:1")
    held = KeyFile(use="sign", engine="s", certificate="bureau-sign.crt")
    pin = PinFile(file="bureau-sign.crt")
    with pytest.raises(Refused, match="our own key"):
        bench.port(keys, KeyFiles(keys={"k": held}, pins={"p": pin}, engines={"s": options}), ThreadWork(1))
