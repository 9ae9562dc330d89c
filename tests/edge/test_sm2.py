"""SM2, SM3 and SM4: the standards' own vectors, openssl as the other implementation in both directions, and every file a key comes in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from asn1crypto import pem
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SM3, Hash
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from gateway.codec import der
from gateway.core.errors import Code, Refused, Unverified
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ciphers, sm2
from gateway.edge.crypto.algorithms import named
from gateway.edge.crypto.containers import open_key
from gateway.edge.crypto.keys import KeyFile, PinFile, load_keys, load_pins
from gateway.edge.crypto.pki import self_signed, sm2_self_signed

# GB/T 32918.5-2017, annex A: the key pair, message, Z's hash and signature of the standard's example.
POINT = bytes.fromhex(
    "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
SCALAR = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
E = bytes.fromhex("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640")
RAW = bytes.fromhex(
    "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
    "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
)
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
JANUARY = datetime(2015, 1, 1, tzinfo=UTC)
JULY = JANUARY + timedelta(days=181)
ID = "U0031234560000000"[:16]


class Outside(NamedTuple):
    """openssl in a folder with an SM2 key of its own making."""

    folder: Path

    def run(self, *words: str) -> bytes:
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def holds(self, *words: str) -> bool:
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, check=False)
        return done.returncode == 0


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory, outside_program: Callable[[str], str]) -> Outside:
    """A key by openssl, its public half and its certificate."""
    outside_program("openssl")
    made = Outside(tmp_path_factory.mktemp("sm2"))
    made.run("ecparam", "-genkey", "-name", "SM2", "-out", "sec1.pem")
    made.run("pkcs8", "-topk8", "-nocrypt", "-in", "sec1.pem", "-out", "k.pem")
    made.run("pkey", "-in", "k.pem", "-pubout", "-out", "pub.pem")
    words = ["-subj", "/CN=theirs", "-days", "30", "-sigopt", "distid:1234567812345678"]
    made.run("req", "-new", "-x509", "-key", "k.pem", "-sm3", "-out", "k.crt", *words)
    for path in made.folder.iterdir():
        path.chmod(0o600)
    (made.folder / "data").write_bytes(b"message\n" * 5000)
    return made


def public(folder: Path) -> sm2.PublicKey:
    """openssl's public key."""
    return sm2.public_key(pem.unarmor((folder / "pub.pem").read_bytes())[2])


# ---------------------------------------------------------------------------------------------------- vectors


def test_the_standards_signature_holds() -> None:
    """GB/T 32918.5: Z and the message give e, and (r, s) holds over it; over anything else it does not."""
    key = sm2.of_point(POINT)
    hasher = key.hasher()
    hasher.update(b"message digest")
    assert hasher.finalize() == E
    assert key.holds(sm2.der_of(RAW), E)
    assert not key.holds(sm2.der_of(RAW), bytes(32))
    for at in (0, 31, 32, 63):
        changed = RAW[:at] + bytes([RAW[at] ^ 1]) + RAW[at + 1 :]
        assert not key.holds(sm2.der_of(changed), E)


def test_the_standards_private_key_signs() -> None:
    """Each signature is another one, and each holds."""
    key = sm2.PrivateKey(SCALAR, sm2.of_point(POINT))
    signatures = {key.sign(E) for _ in range(5)}
    assert len(signatures) == 5
    assert all(key.public.holds(signature, E) for signature in signatures)


def test_sm3_and_sm4_are_the_standards() -> None:
    """GB/T 32905 ("abc") and GB/T 32907 (the first example, as the first block of CBC under an iv of zeros)."""
    digest = Hash(SM3())
    digest.update(b"abc")
    assert digest.finalize().hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    block = bytes.fromhex("0123456789abcdeffedcba9876543210")
    hidden = ciphers.sm4_encrypt(block, block, bytes(16))
    assert hidden[:16].hex() == "681edf34d206965e86b3e94f536e4246"
    assert ciphers.sm4_decrypt(block, hidden, bytes(16)) == block


@given(st.binary(max_size=100))
def test_what_is_no_signature_does_not_hold_and_breaks_nothing(data: bytes) -> None:
    """Whatever stands where a signature should: False, never an error."""
    assert not sm2.of_point(POINT).holds(data, E)
    assert not named("sm2-sm3").holds(sm2.of_point(POINT), data, E)
    assert not named("sm2-sm3-raw").holds(sm2.of_point(POINT), data, E)


@pytest.mark.parametrize(
    "pair",
    [
        (0, 1),
        (1, 0),
        (N, 1),
        (1, N),
        (N - 1, 1),
        (int.from_bytes(RAW[:32], "big") + N, int.from_bytes(RAW[32:], "big")),
    ],
)
def test_numbers_outside_the_order_do_not_hold(pair: tuple[int, int]) -> None:
    """r and s are 1 to n-1, and r + s is not n: a second spelling of one signature does not exist."""
    encoded = der.tlv(der.SEQUENCE, der.integer(pair[0]), der.integer(pair[1]))
    assert not sm2.of_point(POINT).holds(encoded, E)


def test_a_signature_has_one_spelling() -> None:
    """DER only: a longer length, a padded number, a byte more are other bytes and hold nothing."""
    true = sm2.der_of(RAW)
    key = sm2.of_point(POINT)
    padded = der.tlv(der.INTEGER, b"\x00", RAW[:32])  # the shortest form already has its zero, as r begins with F5
    body = padded + der.integer(int.from_bytes(RAW[32:], "big"))
    assert key.holds(der.tlv(der.SEQUENCE, body), E)
    longer = der.tlv(der.INTEGER, b"\x00\x00", RAW[:32]) + der.integer(int.from_bytes(RAW[32:], "big"))
    for other in (
        true + b"\0",
        b"\x30\x81" + true[1:],
        der.tlv(der.SEQUENCE, longer),
        b"\x30\x80" + true[2:] + b"\0\0",
    ):
        assert not key.holds(other, E)
    assert sm2.raw_of(true) == RAW


@pytest.mark.parametrize(
    "point", [bytes(64), POINT[:-1], b"\x04" + POINT[:-1] + b"\x00", b"\x02" + POINT, POINT[32:] + POINT[:32]]
)
def test_a_point_off_the_curve_is_no_key(point: bytes) -> None:
    """An invalid point must never be computed with."""
    with pytest.raises(ValueError, match="curve"):
        sm2.of_point(point)


@pytest.mark.parametrize("scalar", [bytes(32), b"\xff" * 32, SCALAR[:-1], (N - 1).to_bytes(32, "big"), SCALAR[::-1]])
def test_a_number_that_is_not_the_points_key_is_refused(scalar: bytes) -> None:
    """Zero, above the order, too short, or simply another one."""
    with pytest.raises(ValueError, match="private key"):
        sm2.PrivateKey(scalar, sm2.of_point(POINT))


# ---------------------------------------------------------------------------------------------------- openssl


@pytest.mark.parametrize("signer_id", ["1234567812345678", ID, "社保中心", "x"])
def test_openssl_and_we_verify_each_other(outside: Outside, signer_id: str) -> None:
    """With the id that both know; not with another, not over other data, and never with the empty id that openssl takes by itself."""
    loaded = load_keys(
        {"k": KeyFile(use="sign", file="k.pem", certificate="k.crt")}, Credentials(None, {}), outside.folder
    )["k"]
    data = (outside.folder / "data").read_bytes()
    theirs = outside.run("dgst", "-sm3", "-sign", "k.pem", "-sigopt", f"distid:{signer_id}", "data")
    algorithm, key = named("sm2-sm3"), loaded.certificate.public_key
    assert algorithm.holds(key, theirs, algorithm.digest(key, data, signer_id))
    assert not algorithm.holds(key, theirs, algorithm.digest(key, data, signer_id + "0"))
    assert not algorithm.holds(key, theirs, algorithm.digest(key, data + b"\n", signer_id))
    without = outside.run("dgst", "-sm3", "-sign", "k.pem", "data")
    assert not algorithm.holds(key, without, algorithm.digest(key, data, signer_id))
    (outside.folder / "ours").write_bytes(algorithm.sign(loaded.private, algorithm.digest(key, data, signer_id)))
    words = ["dgst", "-sm3", "-verify", "pub.pem", "-signature", "ours", "-sigopt"]
    assert outside.holds(*words, f"distid:{signer_id}", "data")
    assert not outside.holds(*words, "distid:0000000000000000", "data")
    words = ["pkeyutl", "-verify", "-rawin", "-digest", "sm3", "-pubin", "-inkey", "pub.pem", "-in", "data"]
    assert outside.holds(*words, "-sigfile", "ours", "-pkeyopt", f"distid:{signer_id}")


def test_raw_and_der_are_one_signature(outside: Outside) -> None:
    """openssl's signature in 64 bytes holds under ``sm2-sm3-raw``; the forms are not taken for each other."""
    data = (outside.folder / "data").read_bytes()
    theirs = outside.run("dgst", "-sm3", "-sign", "k.pem", "-sigopt", f"distid:{sm2.DEFAULT_ID}", "data")
    raw, whole, key = named("sm2-sm3-raw"), named("sm2-sm3"), public(outside.folder)
    digest = raw.digest(key, data)
    assert len(sm2.raw_of(theirs)) == 64
    assert raw.holds(key, sm2.raw_of(theirs), digest)
    assert not raw.holds(key, theirs, digest)
    assert not whole.holds(key, sm2.raw_of(theirs), digest)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 5000])
def test_openssl_and_we_open_each_others_sm4(outside: Outside, size: int) -> None:
    """SM4-CBC with PKCS#7 padding, at every length around a block."""
    key, iv, data = bytes(range(16)), ID.encode(), bytes(size)
    words = ("enc", "-sm4-cbc", "-K", key.hex(), "-iv", iv.hex())
    (outside.folder / "plain").write_bytes(data)
    assert ciphers.sm4_decrypt(key, outside.run(*words, "-in", "plain"), iv) == data
    (outside.folder / "hidden").write_bytes(ciphers.sm4_encrypt(key, data, iv))
    assert outside.run(*words, "-d", "-in", "hidden") == data


def test_a_wrong_ciphertext_says_nothing_but_that() -> None:
    """Cut, changed at its end, empty: one sentence for all, so that nobody learns from the answer."""
    key, iv = bytes(16), bytes(16)
    hidden = ciphers.sm4_encrypt(key, b"x" * 40, iv)
    told = set()
    for wrong in (b"", hidden[:-1], hidden[:16], hidden[:-1] + bytes([hidden[-1] ^ 0x80]), bytes(48)):
        with pytest.raises(Unverified) as error:
            ciphers.sm4_decrypt(key, wrong, iv)
        told.add((error.value.code, error.value.what))
    assert told == {(Code.SIG, "does not open")}
    with pytest.raises(Refused):
        ciphers.sm4_encrypt(key, b"", b"short")


# ---------------------------------------------------------------------------------------------------- files

CREDENTIALS = Credentials(None, {"SHEYIN_CREDENTIAL_RIGHT": "secret 密", "SHEYIN_CREDENTIAL_WRONG": "x"})


def load(folder: Path, file: str, password: str = "", certificate: str = "k.crt") -> bytes:
    """The public key of what loads."""
    files = {"k": KeyFile(use="sign", file=file, password=password, certificate=certificate)}
    return load_keys(files, CREDENTIALS, folder)["k"].certificate.spki


def refused(code: Code, folder: Path, file: str, password: str = "", certificate: str = "k.crt") -> None:
    """It does not load, with this code."""
    with pytest.raises(Refused) as error:
        load(folder, file, password, certificate)
    assert error.value.code is code, error.value


def private(path: Path) -> str:
    """Close the file to others; its name."""
    path.chmod(0o600)
    return path.name


def test_plain_keys_load(outside: Outside) -> None:
    """SEC 1 (with its block of parameters) and PKCS#8."""
    assert load(outside.folder, "sec1.pem") == load(outside.folder, "k.pem") == public(outside.folder).info
    refused(Code.AUTH, outside.folder, "k.pem", "right")


@pytest.mark.parametrize(
    "options",
    ["", "-v2 aes-128-cbc", "-v2 aes-256-cbc -v2prf hmacWithSHA512", "-v2prf hmacWithSHA1", "-v2 sm4-cbc"],
)
def test_keys_under_a_password_load(outside: Outside, options: str) -> None:
    """PKCS#8 under PBES2; a wrong password, none, or a changed byte does not open it."""
    words = ["pkcs8", "-topk8", "-in", "k.pem", "-out", "closed.pem", "-passout", "pass:secret 密"]
    outside.run(*words, *options.split())
    private(outside.folder / "closed.pem")
    assert load(outside.folder, "closed.pem", "right") == public(outside.folder).info
    refused(Code.AUTH, outside.folder, "closed.pem", "wrong")
    refused(Code.AUTH, outside.folder, "closed.pem")


def test_no_wrong_password_opens_by_chance(outside: Outside) -> None:
    """One in 256 leaves a padding that looks right: what it leaves is then no key, and the password is what is said to be wrong."""
    words = ["pkcs8", "-topk8", "-in", "k.pem", "-out", "once.pem", "-passout", "pass:secret 密", "-v2", "aes-256-cbc"]
    outside.run(*words, "-iter", "1")
    data = (outside.folder / "once.pem").read_bytes()
    for number in range(2_000):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever the library or we say of it
            open_key(data, b"wrong %d" % number, pkcs12_file=False)


def test_an_rsa_key_under_the_chinese_cipher_loads(outside: Outside) -> None:
    """SM4 around an RSA key: the protection is ours to open, the key the library's."""
    outside.run("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", "r.pem", "-out", "r.crt", "-subj", "/CN=r")
    words = ["pkcs8", "-topk8", "-in", "r.pem", "-out", "rsa.pem", "-passout", "pass:secret 密", "-v2", "sm4-cbc"]
    outside.run(*words)
    assert load(outside.folder, private(outside.folder / "rsa.pem"), "right", "r.crt")
    refused(Code.AUTH, outside.folder, "rsa.pem", "wrong", "r.crt")


@pytest.mark.parametrize("options", ["", "-certpbe NONE", "-keypbe AES-128-CBC -macalg sha512", "-macalg sha1"])
def test_pkcs12_loads(outside: Outside, options: str) -> None:
    """One file with key and certificate, as openssl writes it; wrong password, changed byte and cut end do not open it."""
    words = ["pkcs12", "-export", "-inkey", "k.pem", "-in", "k.crt", "-out", "k.p12", "-passout", "pass:secret 密"]
    outside.run(*words, *options.split())
    private(outside.folder / "k.p12")
    assert load(outside.folder, "k.p12", "right", "") == public(outside.folder).info
    refused(Code.AUTH, outside.folder, "k.p12", "wrong", "")
    refused(Code.AUTH, outside.folder, "k.p12", "", "")
    content = (outside.folder / "k.p12").read_bytes()
    for number, wrong in enumerate((content[:-1], content[:300] + bytes([content[300] ^ 1]) + content[301:], b"")):
        (outside.folder / f"wrong{number}.p12").write_bytes(wrong)
        refused(Code.AUTH, outside.folder, private(outside.folder / f"wrong{number}.p12"), "right", "")


def test_old_protection_does_not_open(outside: Outside) -> None:
    """3DES: the owner writes the file anew; what is said names the protection."""
    words = ["pkcs12", "-export", "-inkey", "k.pem", "-in", "k.crt", "-out", "old.p12", "-passout", "pass:secret 密"]
    outside.run(*words, "-keypbe", "PBE-SHA1-3DES", "-certpbe", "NONE")
    with pytest.raises(Refused, match="PBES2 and AES"):
        load(outside.folder, private(outside.folder / "old.p12"), "right", "")


def test_a_certificate_of_another_key_is_refused(outside: Outside, tmp_path: Path) -> None:
    """SM2 with SM2, SM2 with RSA, RSA with SM2."""
    other = sm2.generate()
    weak = rsa.generate_private_key(65537, 2048)
    (tmp_path / "sm2.crt").write_bytes(sm2_self_signed(other, "other", JANUARY, JULY, "sign"))
    (tmp_path / "rsa.crt").write_bytes(self_signed(weak, "other", JANUARY, JULY, "sign").public_bytes(Encoding.PEM))
    (tmp_path / "k.pem").write_bytes((outside.folder / "k.pem").read_bytes())
    private(tmp_path / "k.pem")
    for certificate in ("sm2.crt", "rsa.crt"):
        refused(Code.CERT, tmp_path, "k.pem", certificate=certificate)


def test_signing_and_encryption_are_two_certificates(tmp_path: Path) -> None:
    """An SM2 certificate for encryption neither signs nor verifies, nor the other way round; one key is not used for both."""
    key = sm2.generate()
    (tmp_path / "k.key").write_bytes(pem.armor("PRIVATE KEY", key.encoded()))
    private(tmp_path / "k.key")
    for use in ("sign", "decrypt"):
        (tmp_path / f"{use}.crt").write_bytes(sm2_self_signed(key, use, JANUARY, JULY, use))
    refused(Code.CERT, tmp_path, "k.key", certificate="decrypt.crt")
    for use, file in (("verify", "decrypt.crt"), ("encrypt", "sign.crt")):
        with pytest.raises(Refused, match="keyUsage"):
            load_pins({"p": PinFile(use=use, file=file)}, {}, tmp_path)  # type: ignore[arg-type]  # either word
    both = {use: KeyFile(use=use, file="k.key", certificate=f"{use}.crt") for use in ("sign", "decrypt")}
    with pytest.raises(Refused, match="one key for two uses"):
        load_keys(both, CREDENTIALS, tmp_path)
