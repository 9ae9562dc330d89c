"""Keys and seals: the only place of the gateway where private keys are loaded and inbound seals are checked.

========================= ==============================================================================
:mod:`.seals`             the Crypto port over an engine; software keys; expiry warnings
:mod:`.keys`              keys and pins from PEM and PKCS#12 files, refused at the start if wrong
:mod:`.pins`              what partners are known by
:mod:`.detached`          CMS beside a Document
:mod:`.xmldsig`           an XML signature inside a Document
:mod:`.algorithms`        RSA with SHA-256 (later: SM2 with SM3)
:mod:`.pki`               throwaway keys for development
========================= ==============================================================================
"""

from gateway.edge.crypto.keys import KeyFile, KeyFiles, PinFile
from gateway.edge.crypto.seals import WARN_DAYS, Engine, EngineCrypto, Expiry, SoftwareCrypto

__all__ = ["WARN_DAYS", "Engine", "EngineCrypto", "Expiry", "KeyFile", "KeyFiles", "PinFile", "SoftwareCrypto"]
