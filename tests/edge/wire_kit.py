"""What the tests of the wires share: bank A on each wire, a Document in an archive, and wires that are closed in the end."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from gateway.core.bank import Bank, DocKind, WireKind
from gateway.core.errors import SheyinError
from gateway.core.ports import Wire
from gateway.core.route import Put, Rename, SealedDocument, Stat
from gateway.edge.archive import FolderArchive
from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.pki import DevPki, client_name, host_name
from gateway.edge.wires.sftp import SftpWire

PAYLOAD = "H|SHEYIN|1|PAY|张三|\n".encode() * 60_000  # more than one chunk


class Ticks(SystemClock):
    """Real time, with spans that a test stretches."""

    def __init__(self) -> None:
        self.added_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.added_s


class Wires:
    """Makes wires to a port and closes them in the end."""

    def __init__(self, archive: FolderArchive, pki: DevPki) -> None:
        self.archive = archive
        self.pki = pki
        self.clock = Ticks()
        self.made: list[SftpWire] = []

    def to(self, port: int, **options: str | int | bool) -> SftpWire:
        """A new wire."""
        return self.of(sftp_bank(port, self.pki, **options))

    def of(self, bank: Bank) -> SftpWire:
        """A new wire of a Bank."""
        credentials = Credentials(
            self.pki.folder, {"SHEYIN_CREDENTIAL_RIGHT": "open sesame", "SHEYIN_CREDENTIAL_WRONG": "x"}
        )
        self.made.append(SftpWire(bank, self.archive, credentials, clock=self.clock))
        return self.made[-1]


def bank(wire: WireKind, options: dict[str, str | int | bool]) -> Bank:
    """Bank A on a wire."""
    return Bank(code="BANK_A", name="A", adapter="standard_file", wire=wire, customer="C1", wire_options=options)


def sftp_bank(port: int, pki: DevPki, **more: str | int | bool) -> Bank:
    """Bank A on SFTP."""
    options: dict[str, str | int | bool] = {
        "host": "127.0.0.1",
        "port": port,
        "user": "bureau",
        "host_key": (pki.folder / f"{host_name('BANK_A')}.pub").read_text(),
        "client_key": f"{client_name('BANK_A')}.key",
        "complete": "rename",
        "deadline_s": 5,
    }
    return bank(WireKind.SFTP, options | more)


def document(
    archive: FolderArchive, name: str = "PAY0001", data: bytes = PAYLOAD, seal: bytes | None = None
) -> SealedDocument:
    """A Document that is in the archive."""
    spool = archive.spool(len(data))
    spool.write(data)
    return SealedDocument(
        reference=f"R{name}", name=name, digest=spool.keep(), size=len(data), kind=DocKind.PAYMENT, seal=seal,
        seal_name=f"{name}.p7s" if seal else "",
    )  # fmt: skip


async def deliver_as_files(wire: Wire, document: SealedDocument) -> None:
    """The requests of the file routes."""
    if document.seal is not None:
        await wire.perform(Put(f"in/{document.seal_name}", document, seal=True))
    await wire.perform(Put(f"in/{document.name}.tmp", document))
    assert await wire.perform(Stat(f"in/{document.name}.tmp", document.size)) == document.size
    await wire.perform(Rename(f"in/{document.name}.tmp", f"in/{document.name}"))


async def verdict(doing: Awaitable[Any]) -> str:
    """``sent``, or the name of the error that says what is known."""
    try:
        await doing
    except SheyinError as error:
        return type(error).__name__
    return "sent"
