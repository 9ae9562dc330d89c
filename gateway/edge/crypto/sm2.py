"""SM2 with SM3 (GB/T 32918 = GM/T 0003, GM/T 0009): keys from DER, digests, signatures. The curve's arithmetic is gmssl-pyx's.

A signature is over e = SM3(Z ‖ message), where Z = SM3(length of the signer id in bits ‖ id ‖ a ‖ b ‖ G ‖ public point). Z stands before
the message, so a stream is hashed once in constant memory, and an engine only ever needs e. The signer id is agreed with each partner; the
standard's default is ``1234567812345678``. A signature is a DER SEQUENCE of r and s, or the 64 bytes r‖s.
"""

from __future__ import annotations

import gmssl_pyx
import msgspec
from cryptography.hazmat.primitives.hashes import SM3, Hash

from gateway.codec import der
from gateway.codec.der import Element

DEFAULT_ID = "1234567812345678"
SIGNER_ID_BYTES_MAX = 8_191  # its length in bits has two bytes
EC_PUBLIC_KEY = "1.2.840.10045.2.1"
CURVE = "1.2.156.10197.1.301"
_SIZE = 32

# The recommended curve, GB/T 32918.5, annex A.
_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A = _P - 3
_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
_GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0
_CURVE_BYTES = b"".join(number.to_bytes(_SIZE, "big") for number in (_A, _B, _GX, _GY))


class PublicKey(msgspec.Struct, frozen=True):
    """A point on the curve: x‖y, 64 bytes. Made by ``public_key`` and ``of_point``, which check it."""

    point: bytes

    @property
    def info(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        kind = der.tlv(der.SEQUENCE, der.oid(EC_PUBLIC_KEY), der.oid(CURVE))
        return der.tlv(der.SEQUENCE, kind, der.tlv(der.BIT_STRING, b"\x00\x04", self.point))

    def hasher(self, signer_id: str = "") -> Hash:
        """SM3, fed with this key's Z for ``signer_id`` ("": the default); what it ends with is e. Raises ValueError for a longer id."""
        name = (signer_id or DEFAULT_ID).encode()
        if len(name) > SIGNER_ID_BYTES_MAX:
            raise ValueError(f"a signer id has at most {SIGNER_ID_BYTES_MAX} bytes")
        first = Hash(SM3())
        first.update((8 * len(name)).to_bytes(2, "big") + name + _CURVE_BYTES + self.point)
        hasher = Hash(SM3())
        hasher.update(first.finalize())
        return hasher

    def holds(self, signature: bytes, digest: bytes) -> bool:
        """Whether ``signature`` (DER) was made over e = ``digest`` (32 bytes) with this key."""
        try:
            pair = _pair(signature)
            return len(digest) == _SIZE and gmssl_pyx.sm2_verify_sm3_digest(self.point, digest, _der(*pair)) is True
        except (ValueError, gmssl_pyx.GmsslInnerError):
            return False


class PrivateKey:
    """A private key with its public one; never printed."""

    def __init__(self, scalar: bytes, public: PublicKey) -> None:
        """Raises ValueError if the two do not belong together."""
        self._scalar = scalar
        self.public = public
        if not 0 < int.from_bytes(scalar, "big") < _N - 1 or len(scalar) != _SIZE:
            raise ValueError("not a private key of the SM2 curve")
        probe = public.hasher().finalize()
        if not public.holds(self.sign(probe), probe):
            raise ValueError("the private key is not the public key's")

    def sign(self, digest: bytes) -> bytes:
        """The DER signature over e = ``digest`` (32 bytes)."""
        return bytes(gmssl_pyx.sm2_sign_sm3_digest(self._scalar, digest))

    def encoded(self) -> bytes:
        """DER PrivateKeyInfo (PKCS#8), to be written by who made the key."""
        inner = der.tlv(
            der.SEQUENCE,
            der.integer(1),
            der.tlv(der.OCTET_STRING, self._scalar),
            der.tlv(0xA1, der.tlv(der.BIT_STRING, b"\x00\x04", self.public.point)),
        )
        kind = der.tlv(der.SEQUENCE, der.oid(EC_PUBLIC_KEY), der.oid(CURVE))
        return der.tlv(der.SEQUENCE, der.integer(0), kind, der.tlv(der.OCTET_STRING, inner))


def generate() -> PrivateKey:
    """A new key."""
    point, scalar = gmssl_pyx.sm2_key_generate()
    return PrivateKey(bytes(scalar), of_point(bytes(point)))


def of_point(point: bytes) -> PublicKey:
    """The key of x‖y (64 bytes) or 04‖x‖y (65). Raises ValueError for what is no point of the curve."""
    raw = point[1:] if len(point) == 2 * _SIZE + 1 and point[0] == 4 else point
    x, y = int.from_bytes(raw[:_SIZE], "big"), int.from_bytes(raw[_SIZE:], "big")
    if len(raw) != 2 * _SIZE or x >= _P or y >= _P or (y * y - (x * x * x + _A * x + _B)) % _P:
        raise ValueError("not a point of the SM2 curve, or not in its uncompressed form")
    return PublicKey(raw)


def public_key(info: bytes) -> PublicKey:
    """The key in a DER SubjectPublicKeyInfo. Raises ValueError for a key of another kind."""
    kind, bits = der.parse(info).expect(der.SEQUENCE).children()
    _check_kind(kind)
    body = bits.expect(der.BIT_STRING).body
    if body[:1] != b"\x00":
        raise ValueError("a public key of unused bits")
    return of_point(body[1:])


def private_key(data: bytes, public: PublicKey) -> PrivateKey:
    """The key in a DER PrivateKeyInfo (PKCS#8) or ECPrivateKey (SEC 1), if it is the one of ``public``. Raises ValueError."""
    members = der.parse(data).expect(der.SEQUENCE).children()
    version = members[0].integer() if members else -1
    if version == 0 and len(members) >= 3:
        _check_kind(members[1])
        members = der.parse(members[2].expect(der.OCTET_STRING).body).expect(der.SEQUENCE).children()
    elif not any(part.tag == 0xA0 and part.body == der.oid(CURVE) for part in members):
        raise ValueError("not a key of the SM2 curve")
    if len(members) < 2 or members[0].integer() != 1:
        raise ValueError("not an elliptic curve's private key")
    return PrivateKey(members[1].expect(der.OCTET_STRING).body, public)


def raw_of(signature: bytes) -> bytes:
    """r‖s (64 bytes) of a DER signature. Raises ValueError."""
    r, s = _pair(signature)
    return r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big")


def der_of(signature: bytes) -> bytes:
    """The DER signature of r‖s (64 bytes). Raises ValueError."""
    if len(signature) != 2 * _SIZE:
        raise ValueError("r‖s has 64 bytes")
    return _der(int.from_bytes(signature[:_SIZE], "big"), int.from_bytes(signature[_SIZE:], "big"))


def _der(r: int, s: int) -> bytes:
    return der.tlv(der.SEQUENCE, der.integer(r), der.integer(s))


def _pair(signature: bytes) -> tuple[int, int]:
    members = der.parse(signature).expect(der.SEQUENCE).children()
    if len(members) != 2:
        raise ValueError("not r and s")
    r, s = (member.integer() for member in members)
    if not (0 < r < _N and 0 < s < _N):
        raise ValueError("r or s is outside the curve's order")
    return r, s


def _check_kind(kind: Element) -> None:
    members = kind.expect(der.SEQUENCE).children()
    if [member.oid() for member in members] != [EC_PUBLIC_KEY, CURVE]:
        raise ValueError("not a key of the SM2 curve")
