"""The archive in a folder: every Document that left or arrived, by the SHA-256 of its bytes, encrypted at rest.

::

    root/                        mode 0700
      tmp/<random>               spools: nobody reads them, a crash leaves them, ``sweep`` removes them
      aa/bb/<64 hex digits>      kept Documents, mode 0600; the digest is that of the plain bytes

    header:  "SHEYARC1" (8) · at-rest key number (1) · zeros (7) · salt (16); bound into every frame
    frames:  256 KiB each (the last 0..256 KiB) of AES-256-GCM, + 16 bytes each

A file's key is derived from the master key and its salt; a frame's nonce is its number and whether it is the last, so a
frame that was changed, moved or cut off does not open. Reading from the start to the end also checks the digest before
the last frame is handed out, so a file under another's name is found too. Both raise Halt.

A spool hashes as it grows. A **hole** (the place of an enveloped signature) is left out of the running digest; its
frame waits in memory until it is filled, since a frame is encrypted once. The digest of the whole then takes a second
pass from the first hole on.

Measured (64 MB, ext4, fsync included): written in pieces of 64 KiB 710 MB/s, of 400 bytes 540; with a hole at the start
460 and 360; read 1,200, a second pass 4,000. The reference month has some 300 MB in and out.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gateway.core.errors import Code, Halt, Malformed, Unavailable
from gateway.edge.atrest import TAG_BYTES, AtRest, FileFrames

if TYPE_CHECKING:
    from _hashlib import HASH

FRAME_BYTES = 256 * 1024
_SEALED_BYTES = FRAME_BYTES + TAG_BYTES
_MAGIC = b"SHEYARC1"
_SALT_BYTES = 16
HEADER_BYTES = len(_MAGIC) + 8 + _SALT_BYTES
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ABANDONED_S = 86_400


class FolderArchive:
    """The Archive port made real in one folder; any number of processes may share it."""

    def __init__(self, root: Path, at_rest: AtRest) -> None:
        self.root = root
        self._temporary = root / "tmp"
        self._at_rest = at_rest
        self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)

    def spool(self, size_max: int) -> FileSpool:
        """A new spool with a cap in bytes. Raises Unavailable if the folder takes no file."""
        return FileSpool(self, self._temporary / secrets.token_hex(16), size_max, self._at_rest)

    def open(self, digest: str) -> BinaryIO:
        """Read it again, from any place. Raises Halt if it is missing, and while reading if it is not what was kept."""
        frames = _StoredFrames(self._path(digest), digest, self._at_rest)
        return io.BufferedReader(frames, FRAME_BYTES)

    def size(self, digest: str) -> int:
        """Bytes of the payload. Raises Halt if it is not there."""
        try:
            return _plain_bytes(self._path(digest).stat().st_size, digest)
        except FileNotFoundError:
            raise _missing(digest) from None

    def digests(self) -> Iterator[str]:
        """Every digest that is kept, for checks over the whole archive."""
        for path in sorted(self.root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")):
            if _DIGEST.fullmatch(path.name):
                yield path.name

    def sweep(self, older_than_s: int = _ABANDONED_S) -> int:
        """Remove spools that a dead process left behind; how many there were."""
        removed = 0
        for path in self._temporary.iterdir():
            if time.time() - path.stat().st_mtime > older_than_s:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def adopt(self, temporary: Path, digest: str) -> None:
        """Give a finished, fsynced spool its final name, durably. Content that is there already stays as it is."""
        target = self._path(digest)
        fresh = [folder for folder in (target.parent.parent, target.parent) if not folder.exists()]
        for folder in fresh:
            folder.mkdir(mode=0o700, exist_ok=True)
        if target.exists():
            if target.stat().st_size != temporary.stat().st_size:
                raise Halt(f"archive file {digest} has another size than its content")
            temporary.unlink()
        else:
            temporary.rename(target)
        for folder in (target.parent, *(made.parent for made in reversed(fresh))):
            _sync_folder(folder)

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise Halt(f"not a digest: {digest[:80]!r}", code=Code.PATH)
        return self.root / digest[:2] / digest[2:4] / digest


class FileSpool:
    """The Spool port made real: one file in ``tmp/``, encrypted frame by frame. Not for two threads at once."""

    def __init__(self, archive: FolderArchive, path: Path, size_max: int, at_rest: AtRest) -> None:
        salt = secrets.token_bytes(_SALT_BYTES)
        self.size = 0
        self._archive = archive
        self._path = path
        self._size_max = size_max
        self._header = _MAGIC + bytes([at_rest.key_id]) + bytes(7) + salt
        self._frames = at_rest.file(salt)
        self._buffer = bytearray()  # the frames that are not written yet; starts at a multiple of FRAME_BYTES
        self._written = 0  # frames before the buffer
        self._held: dict[int, bytearray] = {}  # written past, but with an unfilled hole
        self._holes: dict[int, int] = {}  # offset → size, unfilled
        self._running = sha256()
        self._hashed = 0  # offset up to which the running digest has come
        self._before_hole: HASH | None = None  # the running digest as it was before the first hole,
        self._first_hole = 0  # which begins here
        self._kept = False
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
            _write_at(self._file, self._header, 0)
        except OSError as error:
            raise _away(error) from error

    def write(self, data: bytes) -> None:
        """Append. Raises Malformed SIZE above the cap, Unavailable if the disk takes no more."""
        size = self.size + len(data)
        if size > self._size_max:
            raise self._too_large()
        self.size = size
        self._buffer += data
        if len(self._buffer) > FRAME_BYTES:
            self._flush()

    def hole(self, size: int) -> int:
        """Leave ``size`` bytes to be filled later, out of the running digest; returns the offset."""
        if size < 1:
            raise Halt("a hole has at least one byte")
        self._catch_up()
        if self._before_hole is None:
            self._before_hole = self._running.copy()
            self._first_hole = self.size
        offset = self.size
        if offset + size > self._size_max:
            raise self._too_large()
        self.size += size
        self._holes[offset] = size
        self._buffer += bytes(size)
        self._hashed = self.size
        if len(self._buffer) > FRAME_BYTES:
            self._flush()
        return offset

    def running_digest(self) -> bytes:
        """SHA-256 of all written so far, holes left out."""
        self._catch_up()
        return self._running.copy().digest()

    def fill(self, offset: int, data: bytes) -> None:
        """Fill a hole; ``data`` must have its exact size."""
        if self._holes.get(offset) != len(data):
            raise Halt(f"no hole of {len(data)} bytes is open at {offset}")
        del self._holes[offset]
        at = 0
        while at < len(data):
            frame, inside = divmod(offset + at, FRAME_BYTES)
            part = data[at : at + FRAME_BYTES - inside]
            if frame >= self._written:
                start = offset + at - self._written * FRAME_BYTES
                self._buffer[start : start + len(part)] = part
            else:
                self._held[frame][inside : inside + len(part)] = part
            at += len(part)

    def keep(self) -> str:
        """fsync and move into the archive under its SHA-256, returned as hex. Same content twice is one file.

        Raises Halt if a hole is open or the disk cannot say that it has the bytes (never fsync again: PROMISES F22).
        """
        if self._holes:
            raise Halt(f"{len(self._holes)} holes are open")
        self._catch_up()
        digest = self._whole().hexdigest()
        for number, frame in sorted(self._held.items()):
            self._write_frame(number, frame, last=False)
        self._held.clear()
        self._write_frame(self._written, self._buffer, last=True)
        try:
            os.fsync(self._file)
        except OSError as error:
            raise Halt(f"the archive's disk failed to keep a document: {error}") from error
        self._close()
        try:
            self._archive.adopt(self._path, digest)
        except OSError as error:
            raise _away(error) from error
        self._kept = True
        return digest

    def drop(self) -> None:
        """Forget it; nothing happens after ``keep``."""
        if self._file >= 0:
            self._close()
        if not self._kept:
            self._path.unlink(missing_ok=True)

    def _too_large(self) -> Malformed:
        return Malformed(f"larger than {self._size_max} bytes", code=Code.SIZE)

    def _catch_up(self) -> None:
        """Hash what was appended since; done by the frame, not by the write."""
        start = self._hashed - self._written * FRAME_BYTES
        with memoryview(self._buffer) as view:
            self._running.update(view[start:])
        self._hashed = self.size

    def _flush(self) -> None:
        """Write every frame that is surely not the last; frames with open holes wait in memory."""
        self._catch_up()
        count = (len(self._buffer) - 1) // FRAME_BYTES
        with memoryview(self._buffer) as view:
            for index in range(count):
                number = self._written + index
                frame = view[index * FRAME_BYTES : (index + 1) * FRAME_BYTES]
                if self._has_hole(number):
                    self._held[number] = bytearray(frame)
                else:
                    self._write_frame(number, frame, last=False)
                frame.release()
        del self._buffer[: count * FRAME_BYTES]
        self._written += count

    def _has_hole(self, number: int) -> bool:
        start = number * FRAME_BYTES
        return any(at < start + FRAME_BYTES and at + size > start for at, size in self._holes.items())

    def _write_frame(self, number: int, frame: bytearray | memoryview, *, last: bool) -> None:
        sealed = self._frames.seal(number, last, frame, self._header)
        try:
            _write_at(self._file, sealed, HEADER_BYTES + number * _SEALED_BYTES)
        except OSError as error:
            raise _away(error) from error

    def _whole(self) -> HASH:
        """The digest of all bytes: the running one, or a second pass from the first hole on."""
        if self._before_hole is None:
            return self._running
        whole = self._before_hole.copy()
        number, inside = divmod(self._first_hole, FRAME_BYTES)
        for index in range(number, self._written):
            held = self._held.get(index)
            if held is None:
                sealed = _read_at(self._file, index)
                whole.update(
                    memoryview(self._frames.open(index, last=False, sealed=sealed, header=self._header))[inside:]
                )
            else:
                whole.update(memoryview(held)[inside:])
            inside = 0
        whole.update(memoryview(self._buffer)[inside:])
        return whole

    def _close(self) -> None:
        os.close(self._file)
        self._file = -1


class _StoredFrames(io.RawIOBase):
    """A kept Document's plain bytes; checks the digest when its frames are read in order."""

    def __init__(self, path: Path, digest: str, at_rest: AtRest) -> None:
        try:
            self._file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise _missing(digest) from None
        except OSError as error:
            raise _away(error) from error
        self._digest = digest
        self._header = self._file.read(HEADER_BYTES)
        if len(self._header) < HEADER_BYTES or not self._header.startswith(_MAGIC):
            self._file.close()
            raise Halt(f"archive file {digest} has no header", code=Code.TRUNCATED)
        self._size = _plain_bytes(os.fstat(self._file.fileno()).st_size, digest)
        self._count = max(1, -(-self._size // FRAME_BYTES))
        self._frames: FileFrames = at_rest.file(self._header[-_SALT_BYTES:], self._header[len(_MAGIC)])
        self._position = 0
        self._loaded = -1
        self._frame = b""
        self._hash = sha256()
        self._hashed = 0  # frames in the digest so far

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # narrower than "any buffer": BufferedReader gives this
        number, inside = divmod(self._position, FRAME_BYTES)
        if number >= self._count:
            return 0
        if number != self._loaded:
            self._load(number)
        part = self._frame[inside : inside + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _load(self, number: int) -> None:
        last = number == self._count - 1
        sealed = _read_at(self._file.fileno(), number)
        self._frame = self._frames.open(number, last, sealed, self._header)
        self._loaded = number
        if number == self._hashed:
            self._hash.update(self._frame)
            self._hashed += 1
            if last and self._hash.hexdigest() != self._digest:
                self._loaded = -1
                raise Halt(f"archive file {self._digest} holds other bytes than its name says")


def _plain_bytes(stored: int, digest: str) -> int:
    """Payload bytes of a file of ``stored`` bytes. Raises Halt where no payload gives that."""
    full, rest = divmod(stored - HEADER_BYTES, _SEALED_BYTES)
    if stored <= HEADER_BYTES or 0 < rest < TAG_BYTES:
        raise Halt(f"archive file {digest} is cut short", code=Code.TRUNCATED)
    return full * FRAME_BYTES + max(0, rest - TAG_BYTES)


def _write_at(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, offset)
        view, offset = view[done:], offset + done


def _read_at(file: int, number: int) -> bytes:
    """One sealed frame."""
    try:
        return os.pread(file, _SEALED_BYTES, HEADER_BYTES + number * _SEALED_BYTES)
    except OSError as error:
        raise _away(error) from error


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    except OSError as error:
        raise Halt(f"the archive's disk failed to keep a name: {error}") from error
    finally:
        os.close(file)


def _missing(digest: str) -> Halt:
    return Halt(f"the archive has no {digest}")


def _away(error: OSError) -> Unavailable:
    return Unavailable(f"the archive: {error.strerror or error}")
