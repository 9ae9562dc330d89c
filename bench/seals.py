"""``python -m bench.seals``: a seal beside 50 MB, made and verified, in seconds and at the peak of memory. Each runs in a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from hashlib import file_digest
from pathlib import Path
from typing import Literal

import msgspec

from bench.usage import peak_rss_mib

DOCUMENT_BYTES = 50_000_000
PEAK_MIB_MAX = 100
FORMS: tuple[Literal["cms", "gmt0010"], ...] = ("cms", "gmt0010")


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """One form of seal over one Document."""

    form: str
    bytes: int
    seal_s: float  # its digest included
    verify_s: float
    peak_mib: float  # of the whole process, interpreter and libraries included


def measure(form: Literal["cms", "gmt0010"], size: int = DOCUMENT_BYTES) -> Sealed:
    """Seal and verify ``size`` bytes in a process of its own. Raises CalledProcessError if the seal does not hold."""
    command = [sys.executable, "-m", "bench.seals", form, str(size)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, check=True, capture_output=True)
    return msgspec.json.decode(done.stdout, type=Sealed)


async def _run(form: Literal["cms", "gmt0010"], size: int, folder: Path) -> Sealed:
    from gateway.core.bank import Bank, Detached, WireKind
    from gateway.edge.clock import SystemClock
    from gateway.edge.credentials import Credentials
    from gateway.edge.crypto import ConfiguredCrypto, pki
    from gateway.edge.work import InlineWork
    from gateway.flow import seals

    made = pki.make(folder / "keys", ["BANKA"], datetime.now(UTC) - timedelta(days=1), sm2_banks=["BANKA"])
    name = "bureau-sm2-sign" if form == "gmt0010" else "bureau-sign"
    ours, theirs = (
        ConfiguredCrypto(files, Credentials(made.folder, {}), SystemClock(), InlineWork(), folder=made.folder)
        for files in (made.bureau, made.banks["BANKA"])
    )
    shape = Detached(form=form)
    bureau = Bank(code="US", name="us", adapter="x", wire=WireKind.FOLDER, customer="C", pins=(name,))
    path = folder / "document"
    with path.open("wb") as stream:
        for at in range(0, size, 1_000_000):
            stream.write(os.urandom(min(1_000_000, size - at)))
    with path.open("rb") as stream:
        started = time.perf_counter()
        digest = file_digest(stream, "sha256").digest()
        seal = await seals.beside(ours, name, shape, stream, digest, datetime.now(UTC))
        sealed = time.perf_counter()
        theirs.verify(bureau, shape, stream, seal, datetime.now(UTC))
        verified = time.perf_counter()
    return Sealed(
        form=form,
        bytes=size,
        seal_s=round(sealed - started, 3),
        verify_s=round(verified - sealed, 3),
        peak_mib=round(peak_rss_mib(os.getpid()), 1),
    )


def main(words: list[str]) -> int:
    """One form where it is named, as JSON; else a line for each. Exit code 1 above the limit of memory."""
    if words:
        form = msgspec.convert(words[0], Literal["cms", "gmt0010"])
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(_run(form, int(words[1]), Path(folder)))
        sys.stdout.buffer.write(msgspec.json.encode(found))
        return 0
    measured = [measure(form) for form in FORMS]
    for one in measured:
        print(
            f"{one.form:8} {one.bytes:,} bytes: sealed {one.seal_s:.2f} s, verified {one.verify_s:.2f} s, peak {one.peak_mib:.0f} MiB"
        )
    return int(any(one.peak_mib > PEAK_MIB_MAX for one in measured))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
