"""Keys and seals: the only place of the gateway where private keys are loaded and inbound seals are checked.

========================= ==============================================================================
:mod:`.seals`             the Crypto port over an engine; expiry warnings
:mod:`.software`          the engine with keys in this process
:mod:`.keys`              keys, pins and shared secrets from files and credentials, refused at the start if wrong
:mod:`.containers`        files that hold a private key: PEM, PKCS#12
:mod:`.pins`              what partners are known by
:mod:`.signed`            CMS, PKCS#7 and GM/T 0010 beside a Document or around it
:mod:`.xmldsig`           an XML signature inside a Document
:mod:`.algorithms`        RSA with SHA-256, SM2 with SM3
:mod:`.sm2`               SM2's keys, digests and signatures
:mod:`.ciphers`           SM4 under a shared secret, CMS envelopes
:mod:`.pki`               throwaway keys for development
========================= ==============================================================================
"""

from gateway.edge.crypto.engines import ConfiguredCrypto
from gateway.edge.crypto.keys import KeyFile, KeyFiles, PinFile, SecretFile
from gateway.edge.crypto.seals import WARN_DAYS, Engine, EngineCrypto, Expiry

__all__ = [
    "WARN_DAYS",
    "ConfiguredCrypto",
    "Engine",
    "EngineCrypto",
    "Expiry",
    "KeyFile",
    "KeyFiles",
    "PinFile",
    "SecretFile",
]
