"""One measurement of one codec, in a process of its own so that its peak of memory is its own: ``python -m bench.codec_task STEP SUBJECT N FOLDER``.

Prints one JSON line: Measured. Seconds are of the step alone: the interpreter, the keys and the input are there before the clock starts, and
what the input lines cost to make is measured by itself and taken off. More payments than a Document of the format may hold become several
Documents, one after another.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from lxml import etree

from bench import peers
from bench.codecs import SEALED, Measured
from bench.serving import ROOT
from bench.usage import peak_rss_mib
from gateway.cli.plain_files import Folder
from gateway.core.adapter import Adapter
from gateway.core.bank import Bank, Detached, PayLine, PaymentHead, SealSlot, Tail
from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto, KeyFile, KeyFiles, PinFile
from gateway.edge.crypto.pki import make
from gateway.edge.work import InlineWork
from tests.adapters.suite import ADAPTERS, bank_of, head_of, line_of

KEY = "bureau-sign"
AMOUNT = 184_000
_LINE = line_of(1, amount=AMOUNT)
_KEY_FIRST = _LINE.key


class Task:
    """A format at work on ``count`` payments in ``folder``."""

    def __init__(self, adapter: Adapter, count: int, folder: Path) -> None:
        self.adapter, self.count, self.folder = adapter, count, folder
        most = adapter.limits.rows_max
        self._parts = [min(most, count - first) for first in range(0, count, most)]

    def encode(self) -> float:
        """Payments to bytes; whole and unsealed, they go to files for the other steps to read."""
        began = time.perf_counter()
        for number, rows in enumerate(self._parts):
            self._encode(number, rows)
        return time.perf_counter() - began - self._making_lines()

    def _encode(self, number: int, rows: int) -> None:
        with self._plain(number).open("wb") as stream:
            for chunk in self.adapter.payment(_head(rows), _lines(rows), bank_of(self.adapter, sealed=False)):
                assert not isinstance(chunk, SealSlot)
                stream.write(chunk)

    def validate(self) -> float:
        """Encode, and hold every Document to the official schema, as a tree: that is twice as fast as in the stream. The parser and the
        schema let other threads run, so one Document is checked while the next is written."""
        schema = etree.XMLSchema(etree.parse(ROOT / "schemas" / "iso20022" / "pain.001.001.09.xsd"))

        def check(number: int) -> None:
            schema.assertValid(etree.parse(self._plain(number), etree.XMLParser(collect_ids=False)))

        began = time.perf_counter()
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            checks = []
            for number, rows in enumerate(self._parts):
                self._encode(number, rows)
                checks.append(threads.submit(check, number))
            for each in checks:
                each.result()
        return time.perf_counter() - began - self._making_lines()

    def decode(self) -> float:
        """Our own payment Documents back into rows."""
        self.encode()
        began = time.perf_counter()
        found = 0
        for number in range(len(self._parts)):
            with self._plain(number).open("rb") as stream:
                found += sum(item.count for item in self.adapter.read(stream) if isinstance(item, Tail))
        assert found == self.count
        return time.perf_counter() - began

    def seal(self) -> float:
        """Encode and seal, as ``sheyin encode`` does: what sealing costs is the difference to ``encode``."""
        signing = KeyFiles(keys={KEY: KeyFile(use="sign", file=f"{KEY}.key", certificate=f"{KEY}.crt")})
        crypto, bank = self._crypto(signing), bank_of(self.adapter)
        began = time.perf_counter()
        with Folder(self.folder, crypto, overwrite=True) as folder:
            for number, rows in enumerate(self._parts):
                asyncio.run(self._seal(folder, number, rows, bank))
        return time.perf_counter() - began - self._making_lines()

    async def _seal(self, folder: Folder, number: int, rows: int, bank: Bank) -> None:
        parts = self.adapter.payment(_head(rows), _lines(rows), bank)
        await folder.write(f"{number}.sealed", parts, self.adapter.seal, KEY, datetime.now(UTC), 1 << 32)

    def verify(self) -> float:
        """Check the seals of the sealed Documents."""
        self.seal()
        crypto, bank = self._crypto(KeyFiles(pins={KEY: PinFile(file=f"{KEY}.crt")})), bank_of(self.adapter)
        bank = msgspec.structs.replace(bank, pins=(KEY,))
        assert self.adapter.seal is not None
        began = time.perf_counter()
        for number in range(len(self._parts)):
            with self._sealed(number).open("rb") as payload:
                crypto.verify(bank, self.adapter.seal, payload, self._seal_bytes(number), datetime.now(UTC))
        return time.perf_counter() - began

    def outside(self) -> float:
        """The same seals by xmlsec1 or openssl; the time of the programs' starts is in it."""
        self.seal()
        began = time.perf_counter()
        for number in range(len(self._parts)):
            subprocess.run(self._verifier(number), check=True, capture_output=True)
        return time.perf_counter() - began

    def _verifier(self, number: int) -> list[str]:
        document, certificate = str(self._sealed(number)), str(self.folder / "pki" / f"{KEY}.crt")
        if isinstance(self.adapter.seal, Detached):
            command = [
                "openssl",
                "cms",
                "-verify",
                "-binary",
                "-inform",
                "DER",
                "-noverify",
                "-nointern",
                "-certfile",
                certificate,
            ]
            return [*command, "-in", document + self.adapter.seal.suffix, "-content", document, "-out", "/dev/null"]
        return [
            "xmlsec1",
            "--verify",
            "--pubkey-cert-pem",
            certificate,
            "--enabled-key-data",
            "x509,key-value,rsa",
            document,
        ]

    def _plain(self, number: int) -> Path:
        return self.folder / f"{number}.plain"

    def _sealed(self, number: int) -> Path:
        return self.folder / f"{number}.sealed"

    def _seal_bytes(self, number: int) -> bytes | None:
        seal = self.adapter.seal
        return Path(str(self._sealed(number)) + seal.suffix).read_bytes() if isinstance(seal, Detached) else None

    def _crypto(self, files: KeyFiles) -> ConfiguredCrypto:
        folder = self.folder / "pki"
        make(folder, [], SystemClock().now())
        return ConfiguredCrypto(files, Credentials(None, {}), SystemClock(), InlineWork(), folder=folder)

    def _making_lines(self) -> float:
        """What it costs to make as many lines."""
        began = time.perf_counter()
        for rows in self._parts:
            for _ in _lines(rows):
                pass
        return time.perf_counter() - began


def _lines(count: int) -> Iterator[PayLine]:
    rest: Any = _LINE[2:]
    for number in range(1, count + 1):
        yield PayLine(number, _KEY_FIRST + number, *rest)


def _head(count: int) -> PaymentHead:
    return msgspec.structs.replace(head_of([_LINE]), count=count, minor=count * AMOUNT)


def main(step: str, subject: str, count: int, folder: Path) -> Measured:
    """Do it."""
    if subject in peers.PEERS:
        seconds, size = peers.PEERS[subject](count), 0
    else:
        task = Task(ADAPTERS[subject], count, folder)
        run: Callable[[], float] = getattr(task, step)
        seconds = run()
        ending = "*.sealed" if step in SEALED else "*.plain"
        size = sum(path.stat().st_size for path in folder.glob(ending))
    return Measured(
        subject=subject,
        step=step,
        payments=count,
        seconds=round(seconds, 4),
        peak_mib=round(peak_rss_mib(os.getpid()), 1),
        bytes=size,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))) + b"\n"
    )
