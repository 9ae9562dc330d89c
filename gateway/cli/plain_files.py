"""Documents as plain files in a folder of the user's: written whole under temporary names, sealed where there is a key, then renamed.

The shape of either seal is the codec's and the signature the Crypto port's, as in the gateway itself; only the archive is missing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from gateway.codec import xmldsig
from gateway.core.bank import Attached, Detached, Enveloped, Inline, Seal, SealSlot
from gateway.core.errors import Code, Conflict, Refused
from gateway.core.ports import Crypto
from gateway.flow import seals

ALGORITHM = seals.RSA
_CHUNK_BYTES = 1024 * 1024


class Written(NamedTuple):
    """One finished file, and its detached seal's name if it has one."""

    digest: str  # SHA-256, hex
    size: int  # bytes
    seal_name: str


class Folder:
    """Where documents are written, all of them or none: a context that gives the final names at its end, unless something was raised.

    ``crypto`` None: they stay without a seal.
    """

    def __init__(self, root: Path, crypto: Crypto | None, *, overwrite: bool) -> None:
        self._root, self._crypto, self._overwrite = root, crypto, overwrite
        self._key_bytes: dict[str, int] = {}
        self._finished: list[tuple[Path, Path]] = []  # temporary and final name
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"cannot be made: {error.strerror}", code=Code.PATH, where=str(root)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for temporary, final in self._finished:
            if kind is None:
                temporary.replace(final)
            else:
                temporary.unlink(missing_ok=True)

    async def write(
        self, name: str, parts: Iterable[bytes | SealSlot], shape: Seal | None, key: str, made: datetime, bytes_max: int
    ) -> Written:
        """Write one document, sealed with ``key``. Raises Refused SIZE above ``bytes_max``, Conflict for a taken name; what the writer raises."""
        with self._temporary(name).open("w+b") as stream:
            written = await self._fill(stream, name, parts, shape, key, made, bytes_max)
            stream.flush()
            os.fsync(stream.fileno())
        return written

    def _temporary(self, name: str) -> Path:
        """Where a file is written until all are; its final name must be free."""
        final = self._root / name
        if not self._overwrite and (final.exists() or any(final == other for _, other in self._finished)):
            error = Conflict("is there already, and was not overwritten", where=str(final))
            error.add_note("Give another folder or another --sequence, or --overwrite.")
            raise error
        temporary = self._root / f".{name}.tmp"
        self._finished.append((temporary, final))
        return temporary

    async def _fill(
        self,
        stream: BinaryIO,
        name: str,
        parts: Iterable[bytes | SealSlot],
        shape: Seal | None,
        key: str,
        made: datetime,
        bytes_max: int,
    ) -> Written:
        hole = await self._hole_bytes(shape, key)
        running, offset, size = hashlib.sha256(), -1, 0
        for part in parts:
            if isinstance(part, SealSlot):
                offset = size
                size += stream.write(bytes(hole))
            else:
                running.update(part)
                size += stream.write(part)
            if size > bytes_max:
                raise Refused(f"more than the {bytes_max} bytes that a document may have", code=Code.SIZE, where=name)
        seal_name, outside = "", None
        if self._crypto is not None and isinstance(shape, Enveloped):
            shown = xmldsig.signed_info(running.digest())
            signed = await self._crypto.sign(key, ALGORITHM, shown)
            stream.seek(offset)
            stream.write(xmldsig.signature(shown, signed, self._crypto.certificate(key)))
        elif self._crypto is not None and isinstance(shape, Detached):
            seal_name = name + shape.suffix
            seal = await seals.beside(self._crypto, key, shape, stream, running.digest(), made)
            self._temporary(seal_name).write_bytes(seal)
        elif self._crypto is not None and isinstance(shape, Attached):
            outside = await seals.around(self._crypto, key, shape, stream, made)
        elif self._crypto is not None and isinstance(shape, Inline) and shape.join and not shape.signer_id:
            outside = await seals.inside(self._crypto, key, shape, stream)
        if outside is not None:
            stream.seek(0)
            size = stream.write(outside)
        whole = offset < 0 and outside is None
        return Written(running.hexdigest() if whole else _digest(stream), size, seal_name)

    async def _hole_bytes(self, shape: Seal | None, key: str) -> int:
        """Exact size of an enveloped signature; 0 where none is made."""
        if self._crypto is None or not isinstance(shape, Enveloped):
            return 0
        if key not in self._key_bytes:  # the port gives no key away, not even its length: a trial signature tells it
            self._key_bytes[key] = len(await self._crypto.sign(key, ALGORITHM, b""))
        return xmldsig.signature_size(self._crypto.certificate(key), self._key_bytes[key])


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    stream.seek(0)
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
