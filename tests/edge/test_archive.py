"""The archive: what was kept is read again bit by bit, or the lane stops."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import Code, Halt, Malformed, Unavailable
from gateway.core.ports import Archive, Spool
from gateway.edge.archive import FRAME_BYTES, HEADER_BYTES, FolderArchive
from gateway.edge.atrest import AtRest

MASTER = bytes(range(32))
CAP = 8 * FRAME_BYTES
SEALED = FRAME_BYTES + 16
BIG = bytes(range(251)) * (3 * FRAME_BYTES // 251)  # three frames, no two alike


@pytest.fixture
def archive(tmp_path: Path) -> FolderArchive:
    """An empty archive."""
    return FolderArchive(tmp_path / "archive", AtRest(MASTER))


def kept(archive: FolderArchive, data: bytes) -> str:
    """``data`` in the archive; its digest."""
    spool = archive.spool(CAP)
    spool.write(data)
    return spool.keep()


def read(archive: FolderArchive, digest: str) -> bytes:
    """All of it again."""
    with archive.open(digest) as file:
        return file.read()


def stored(archive: FolderArchive, digest: str) -> Path:
    """The file that holds it."""
    (path,) = archive.root.glob(f"*/*/{digest}")
    return path


def test_it_is_the_port(archive: FolderArchive) -> None:
    """Both classes satisfy the Protocols that the flow sees (mypy holds this), and start empty."""
    port: Archive = archive
    spool: Spool = port.spool(CAP)
    assert spool.size == 0
    spool.drop()


@pytest.mark.parametrize("size", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2 * FRAME_BYTES, len(BIG)])
def test_every_size_comes_back(archive: FolderArchive, size: int) -> None:
    """Empty, short, at and around the frame's edge: same bytes, same digest, same size."""
    digest = kept(archive, BIG[:size])
    assert digest == sha256(BIG[:size]).hexdigest()
    assert read(archive, digest) == BIG[:size]
    assert archive.size(digest) == size


@st.composite
def pieces(draw: st.DrawFn) -> list[tuple[bool, int]]:
    """(hole?, size) in order, sizes gathered around the frame's edges."""
    near = st.sampled_from([1, 7, 4_000, FRAME_BYTES - 5, FRAME_BYTES, FRAME_BYTES + 3, 2 * FRAME_BYTES])
    return draw(st.lists(st.tuples(st.booleans(), near), max_size=5))


@settings(max_examples=60)
@given(pieces(), st.booleans())
def test_holes_anywhere(parts: list[tuple[bool, int]], backwards: bool) -> None:
    """Any number of holes, anywhere and over any frames, filled in any order: both digests and the bytes are right."""
    with tempfile.TemporaryDirectory() as folder:
        archive = FolderArchive(Path(folder), AtRest(MASTER))
        spool = archive.spool(100 * FRAME_BYTES)
        whole, without, holes = bytearray(), sha256(), []
        for number, (hole, size) in enumerate(parts):
            data = bytes([65 + number]) * size
            if hole:
                holes.append((spool.hole(size), data))
                assert holes[-1][0] == len(whole)
            else:
                spool.write(data)
                without.update(data)
            whole += data
            assert spool.running_digest() == without.digest()
        for offset, data in reversed(holes) if backwards else holes:
            spool.fill(offset, data)
        digest = spool.keep()
        assert digest == sha256(whole).hexdigest()
        assert read(archive, digest) == whole


def test_a_hole_that_stays_open_halts(archive: FolderArchive) -> None:
    """Nothing is kept with a gap in it, and a hole takes exactly its size, once."""
    spool = archive.spool(CAP)
    with pytest.raises(Halt):
        spool.hole(0)
    offset = spool.hole(10)
    with pytest.raises(Halt):
        spool.fill(offset, b"too short")
    with pytest.raises(Halt):
        spool.fill(offset + 1, bytes(10))
    with pytest.raises(Halt, match="holes are open"):
        spool.keep()
    spool.fill(offset, b"0123456789")
    with pytest.raises(Halt):
        spool.fill(offset, b"0123456789")
    assert read(archive, spool.keep()) == b"0123456789"


def test_the_same_content_twice_is_one_file(archive: FolderArchive) -> None:
    """A Document that arrives again costs no second copy, and no spool is left."""
    assert kept(archive, BIG) == kept(archive, BIG)
    files = [path for path in archive.root.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert list(archive.digests()) == [sha256(BIG).hexdigest()]


def test_nobody_sees_it_before_keep(archive: FolderArchive) -> None:
    """A spool is not in the archive; dropped, it is nowhere."""
    spool = archive.spool(CAP)
    spool.write(BIG)
    assert list(archive.digests()) == []
    with pytest.raises(Halt, match="has no"):
        archive.size(sha256(BIG).hexdigest())
    spool.drop()
    spool.drop()
    assert [path for path in archive.root.rglob("*") if path.is_file()] == []


def test_the_cap_holds_for_bytes_and_holes(archive: FolderArchive) -> None:
    """One byte above is refused as SIZE, before it is written."""
    spool = archive.spool(10)
    spool.write(b"12345678")
    for grow in (lambda: spool.write(b"123"), lambda: spool.hole(3)):
        with pytest.raises(Malformed) as error:
            grow()
        assert error.value.code is Code.SIZE
    spool.write(b"90")
    assert read(archive, spool.keep()) == b"1234567890"


def test_nothing_on_the_disk_is_readable(archive: FolderArchive) -> None:
    """Neither text nor any other user's access: encrypted, files 0600, folders 0700."""
    digest = kept(archive, b"6222021234567890123|" * 20_000)
    path = stored(archive, digest)
    assert b"6222021234567890123" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    folders = [archive.root, *(item for item in archive.root.rglob("*") if item.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_equal_content_in_two_archives_looks_different(tmp_path: Path) -> None:
    """Each file has a salt of its own: nobody can tell by the ciphertext that two Documents are equal."""
    archives = [FolderArchive(tmp_path / name, AtRest(MASTER)) for name in "ab"]
    first, second = (stored(archive, kept(archive, BIG)).read_bytes()[HEADER_BYTES:] for archive in archives)
    assert first != second


def flip(at: int) -> Callable[[bytes], bytes]:
    """One bit changed."""
    return lambda data: bytes(byte ^ (index == at % len(data)) for index, byte in enumerate(data))


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "the magic": flip(0),
    "the salt": flip(HEADER_BYTES - 1),
    "a reserved byte": flip(9),
    "a byte of the first frame": flip(HEADER_BYTES + 5),
    "a byte of the last tag": flip(-1),
    "a byte cut off": lambda data: data[:-1],
    "the last frame cut off": lambda data: data[: HEADER_BYTES + 2 * SEALED],
    "all frames cut off": lambda data: data[:HEADER_BYTES],
    "most of the header cut off": lambda data: data[:10],
    "nothing left": lambda data: b"",
    "a byte added": lambda data: data + b"x",
    "two frames exchanged": lambda data: (
        data[:HEADER_BYTES]
        + data[HEADER_BYTES + SEALED : HEADER_BYTES + 2 * SEALED]
        + data[HEADER_BYTES:][:SEALED]
        + data[HEADER_BYTES + 2 * SEALED :]
    ),
    "a frame repeated": lambda data: data[: HEADER_BYTES + SEALED] + data[HEADER_BYTES:],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_halts(archive: FolderArchive, change: str) -> None:
    """Whatever happens to the stored bytes, reading to the end stops with Halt: never other bytes, never fewer."""
    digest = kept(archive, BIG[: 3 * FRAME_BYTES - 1000])
    path = stored(archive, digest)
    before = path.read_bytes()
    path.write_bytes(CHANGES[change](before))
    assert path.read_bytes() != before
    with pytest.raises(Halt):
        read(archive, digest)


def test_a_file_under_anothers_name_halts(archive: FolderArchive) -> None:
    """Whole and well sealed, but not what the name says."""
    one, other = kept(archive, BIG), kept(archive, b"other" * 60_000)
    stored(archive, one).write_bytes(stored(archive, other).read_bytes())
    with pytest.raises(Halt, match="other bytes than its name"):
        read(archive, one)


def test_the_last_frame_is_not_handed_out_before_the_digest_is_checked(archive: FolderArchive) -> None:
    """Who stops at the end of the file has not read a wrong end."""
    one, other = kept(archive, BIG), kept(archive, b"other")
    stored(archive, one).write_bytes(stored(archive, other).read_bytes())
    with archive.open(one) as file, pytest.raises(Halt):
        file.read(1)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_a_digest_that_is_none_halts(archive: FolderArchive, digest: str) -> None:
    """No path is ever made of anything else."""
    for use in (archive.open, archive.size):
        with pytest.raises(Halt):
            use(digest)


def test_a_missing_document_halts(archive: FolderArchive) -> None:
    """The ledger says it is there; so something is wrong."""
    for use in (archive.open, archive.size):
        with pytest.raises(Halt, match="has no"):
            use("0" * 64)


def test_another_master_halts(archive: FolderArchive) -> None:
    """A wrong key and a missing key are told apart."""
    digest = kept(archive, BIG)
    with pytest.raises(Halt, match="wrong key"):
        read(FolderArchive(archive.root, AtRest(bytes(32))), digest)
    with pytest.raises(Halt, match="key 1 is not configured"):
        read(FolderArchive(archive.root, AtRest(MASTER, 2)), digest)


def test_after_a_rotation_old_documents_are_read(archive: FolderArchive) -> None:
    """The older master stays readable; the same content again is still one file."""
    digest = kept(archive, BIG)
    now = FolderArchive(archive.root, AtRest(bytes(32), 2, {1: MASTER}))
    assert read(now, digest) == BIG
    assert kept(now, BIG) == digest


def test_it_is_read_from_any_place_and_again(archive: FolderArchive) -> None:
    """Seal checks read twice: rewinding, seeking and small reads give the same bytes."""
    digest = kept(archive, BIG)
    with archive.open(digest) as file:
        assert file.seekable()
        assert file.readable()
        for _ in range(2):
            assert b"".join(iter(lambda: file.read(10_007), b"")) == BIG
            file.seek(0)
        for at in (0, FRAME_BYTES - 3, FRAME_BYTES, 2 * FRAME_BYTES + 5, len(BIG) - 2, len(BIG), len(BIG) + 9):
            assert file.seek(at) == at
            assert file.read(6) == BIG[at : at + 6]
        assert file.seek(-4, os.SEEK_END) == len(BIG) - 4
        assert file.read() == BIG[-4:]


def test_abandoned_spools_are_swept(archive: FolderArchive) -> None:
    """What a killed process left goes; what another is writing stays."""
    left, writing = archive.spool(CAP), archive.spool(CAP)
    left.write(b"x")
    first, second = (archive.root / "tmp").iterdir()
    os.utime(first, (1, 1))
    os.utime(second, (1, 1))
    writing.write(BIG)
    assert archive.sweep() == 1
    writing.write(b"y")
    assert read(archive, writing.keep()) == BIG + b"y"
    left.drop()


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Files of this process may not grow past 64 KiB."""
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_unavailable_and_leaves_nothing(archive: FolderArchive) -> None:
    """The writer is told, no half file gets a name, and the archive goes on working."""
    spool = archive.spool(CAP)
    with pytest.raises(Unavailable):
        spool.write(BIG)
    spool.drop()
    assert [path for path in archive.root.rglob("*") if path.is_file()] == []
    assert read(archive, kept(archive, b"small")) == b"small"


def test_an_existing_file_of_another_size_halts(archive: FolderArchive) -> None:
    """The archive never writes over what it has, and never believes a damaged copy to be the same."""
    digest = kept(archive, BIG)
    os.truncate(stored(archive, digest), HEADER_BYTES + SEALED)
    with pytest.raises(Halt, match="another size"):
        kept(archive, BIG)
