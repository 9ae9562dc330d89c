"""SM2, SM3 and SM4 on the banks' side (the CDC cloud, CNAPS), by the ``openssl`` program and not by the gateway's library.

The program writes and reads a signature as the DER of two integers; in the CDC cloud it travels as r‖s, 64 bytes.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.sandbox.seals import SealWrong

HALF = 32
BLOCK_BITS = 128


class Sm2:
    """The bank's signing key, and the bureau's certificates that are pinned."""

    def __init__(self, key: Path, bureau: tuple[str, ...], folder: Path) -> None:
        self._key = key
        self._pins = [folder / f"bureau-{number}.pem" for number in range(len(bureau))]
        for pin, certificate in zip(self._pins, bureau, strict=True):
            pin.write_bytes(_openssl("x509", "-in", certificate, "-pubkey", "-noout"))

    def sign(self, text: bytes, signer_id: str) -> bytes:
        """r‖s over the text."""
        return _raw(self.sign_der(text, signer_id))

    def sign_der(self, text: bytes, signer_id: str) -> bytes:
        """DER over the text."""
        return _openssl("dgst", "-sm3", "-sign", str(self._key), "-sigopt", f"distid:{signer_id}", given=text)

    def verify(self, signature: bytes, text: bytes, signer_id: str) -> None:
        """r‖s. Raises SealWrong unless one of the pinned keys made it."""
        self.verify_der(_der(signature), text, signer_id)

    def verify_der(self, signature: bytes, text: bytes, signer_id: str) -> None:
        """DER. Raises SealWrong unless one of the pinned keys made it."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(signature)
            file.flush()
            for pin in self._pins:
                options = ("-verify", str(pin), "-sigopt", f"distid:{signer_id}", "-signature", file.name)
                if b"Verified OK" in _openssl("dgst", "-sm3", *options, given=text, may_fail=True):
                    return
        raise SealWrong("not signed by a key of the bureau that is known here")


def stranger(folder: Path) -> Path:
    """A key that nobody has pinned."""
    path = folder / "stranger.pem"
    if not path.exists():
        path.write_bytes(_openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"))
    return path


def hide(secret: bytes, text: bytes, iv: bytes) -> bytes:
    """SM4-CBC with PKCS#7 padding."""
    padder = padding.PKCS7(BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.SM4(secret), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(text) + padder.finalize()) + encryptor.finalize()


def show(secret: bytes, hidden: bytes, iv: bytes) -> bytes:
    """The other way. Raises ValueError."""
    decryptor = Cipher(algorithms.SM4(secret), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(BLOCK_BITS).unpadder()
    return unpadder.update(decryptor.update(hidden) + decryptor.finalize()) + unpadder.finalize()


def _openssl(*arguments: str, given: bytes = b"", may_fail: bool = False) -> bytes:
    done = subprocess.run(("openssl", *arguments), input=given, capture_output=True, check=False, timeout=30)
    if done.returncode and not may_fail:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace')[:300]}")
    return done.stdout


def _der(signature: bytes) -> bytes:
    if len(signature) != 2 * HALF:
        raise SealWrong(f"a signature of {len(signature)} bytes")
    parts = b"".join(_integer(signature[at : at + HALF]) for at in (0, HALF))
    return b"\x30" + bytes([len(parts)]) + parts


def _integer(value: bytes) -> bytes:
    body = value.lstrip(b"\0") or b"\0"
    body = b"\0" + body if body[0] & 0x80 else body
    return b"\x02" + bytes([len(body)]) + body


def _raw(der: bytes) -> bytes:
    if der[:1] != b"\x30" or der[1] != len(der) - 2 or der[2:3] != b"\x02":
        raise RuntimeError("openssl's signature is not two integers")
    end = 4 + der[3]
    numbers = (der[4:end], der[end + 2 :])
    return b"".join(number.lstrip(b"\0").rjust(HALF, b"\0") for number in numbers)
