"""The development PKI: right keys, tight files, and nothing overwritten unasked."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import asyncssh
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.core.errors import Refused
from gateway.edge.atrest import AtRest, master_key
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.keys import load_keys, load_pins, load_secrets
from gateway.edge.crypto.pki import AT_REST, DevPki, client_name, host_name, make, sign_name, tls_client_name, tls_name

JANUARY = datetime(2015, 1, 1, tzinfo=UTC)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_makes_what_the_configuration_names(pki: DevPki) -> None:
    """Both sides' key files load as they are, and everybody has keys of their own."""
    keys = load_keys(pki.bureau.keys, Credentials(), pki.folder)
    pins = load_pins(pki.bureau.pins, keys, pki.folder)
    assert set(keys) == {"bureau-sign", "bureau-decrypt"}
    assert set(pins) == {"bank_a-sign", "bank_a-sign-2", "bank_b-sign"}
    banks = [load_keys(files.keys, Credentials(), pki.folder) for files in pki.banks.values()]
    spkis = [key.certificate.spki for side in (keys, *banks) for key in side.values()]
    assert len(set(spkis)) == len(spkis) == 5


def test_certificates_are_for_one_use_and_for_the_asked_time(pki: DevPki) -> None:
    """RSA-2048, signing or decrypting, from the date of the demo's year on."""
    for name, signs in (("bureau-sign", True), ("bureau-decrypt", False), (sign_name("BANK_A", 2), True)):
        certificate = x509.load_pem_x509_certificate((pki.folder / f"{name}.crt").read_bytes())
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.digital_signature, usage.key_encipherment) == (signs, not signs)
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 2048
        assert certificate.not_valid_before_utc == JANUARY
        assert certificate.not_valid_after_utc.year == 2016


def test_private_files_are_private(pki: DevPki) -> None:
    """Keys are 0600 and the whole folder is kept out of git."""
    for path in pki.folder.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert (pki.folder / ".gitignore").read_text() == "*\n"


def test_ssh_keys_are_readable_by_ssh(pki: DevPki) -> None:
    """Host and client keys are pairs that an SSH library takes."""
    for name in (host_name("BANK_A"), client_name("BANK_B")):
        private = asyncssh.read_private_key(pki.folder / f"{name}.key")
        public = asyncssh.read_public_key(pki.folder / f"{name}.pub")
        assert private.public_data == public.public_data
        assert public.get_algorithm() == "ssh-ed25519"


def test_the_master_key_opens_what_it_sealed(pki: DevPki) -> None:
    """The at-rest key is a credential in the form that is read."""
    master = master_key(Credentials(pki.folder, {}).get(AT_REST))
    assert AtRest(master).open(AtRest(master).seal(b"x", b"y"), b"y") == b"x"
    for wrong in (b"00" * 31, b"zz" * 32, b"", bytes(range(200, 232))):
        with pytest.raises(Refused):
            master_key(wrong)


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    """A second call keeps all there is and adds what is missing; asked to, it makes everything anew."""
    first = make(tmp_path, ["BANK_A"], JANUARY)
    before = contents(tmp_path)
    assert not first.kept
    second = make(tmp_path, ["BANK_A", "BANK_B"], JANUARY)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(second.kept) == set(before)
    assert set(second.made) == set(after) - set(before)
    make(tmp_path, ["BANK_A"], JANUARY, overwrite=True)
    anew = contents(tmp_path)
    assert all(anew[name] != before[name] for name in before if name != ".gitignore")
    assert anew["bank_b-sign.key"] == after["bank_b-sign.key"]


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    """A key without its certificate is not completed by guessing."""
    make(tmp_path, [], JANUARY)
    (tmp_path / "bureau-sign.crt").unlink()
    with pytest.raises(Refused, match=r"bureau-sign\.key without its other half"):
        make(tmp_path, [], JANUARY)


def test_openssl_reads_them(pki: DevPki, outside_program: Callable[[str], str]) -> None:
    """Another implementation finds certificate and key well-formed and belonging together."""
    openssl = outside_program("openssl")
    shown = []
    for kind, command in (("crt", ["x509", "-pubkey", "-noout"]), ("key", ["pkey", "-pubout"])):
        given = (pki.folder / f"bureau-sign.{kind}").read_bytes()
        done = subprocess.run([openssl, *command], input=given, capture_output=True, check=True)
        shown.append(done.stdout)
    assert shown[0] == shown[1]
    assert b"PUBLIC KEY" in shown[0]


def test_sm2_pairs_are_apart_and_shared_by_both_sides(tmp_path: Path, outside_program: Callable[[str], str]) -> None:
    """Signing and encryption are two SM2 pairs; both views load, the SM4 key is one; openssl accepts the certificates' own signatures."""
    made = make(tmp_path, ["BANK_A", "BANK_B"], JANUARY, overlap=["BANK_A"], sm2_banks=["BANK_A"])
    credentials = Credentials(tmp_path, {})
    keys = load_keys(made.bureau.keys, credentials, tmp_path)
    pins = load_pins(made.bureau.pins, keys, tmp_path)
    assert {name for name in keys if "sm2" in name} == {"bureau-sm2-sign", "bureau-sm2-decrypt"}
    assert {name: pins[name].use for name in pins if "sm2" in name} == {
        "bank_a-sm2-sign": "verify",
        "bank_a-sm2-sign-2": "verify",
        "bank_a-sm2-decrypt": "encrypt",
    }
    theirs = made.banks["BANK_A"]
    load_pins(theirs.pins, load_keys(theirs.keys, credentials, tmp_path), tmp_path)
    ours_secrets, their_secrets = (load_secrets(files.secrets, credentials) for files in (made.bureau, theirs))
    assert ours_secrets == their_secrets
    assert list(ours_secrets) == ["bank_a-sm4"]
    assert not made.banks["BANK_B"].secrets
    for name in ("bureau-sm2-sign", "bank_a-sm2-sign-2"):
        words = [outside_program("openssl"), "verify", "-CAfile", f"{name}.crt", "-vfyopt", "distid:1234567812345678"]
        words += ["-no_check_time", "-purpose", "any", f"{name}.crt"]
        assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_tls_for_a_bank_on_this_machine(tmp_path: Path) -> None:
    """On request: what its server shows is for the loopback address, what we show there is for nothing else, and both stay."""
    made = make(tmp_path / "keys", ["BANK_A", "BANK_B"], JANUARY, tls_banks=["BANK_B"])
    names = sorted(name for name in made.made if "-tls" in name)
    assert names == ["bank_b-tls-client.crt", "bank_b-tls-client.key", "bank_b-tls.crt", "bank_b-tls.key"]
    assert {tls_name("BANK_B"), tls_client_name("BANK_B")} == {name.rpartition(".")[0] for name in names}
    shown = x509.load_pem_x509_certificate((made.folder / "bank_b-tls.crt").read_bytes())
    hosts = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert hosts.get_values_for_type(x509.IPAddress) == [IPv4Address("127.0.0.1")]
    before = contents(made.folder)
    make(made.folder, ["BANK_A", "BANK_B"], JANUARY, tls_banks=["BANK_B"])
    assert contents(made.folder) == before
