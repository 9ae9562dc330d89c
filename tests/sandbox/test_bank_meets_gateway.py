"""The gateway's own edge against the banks: its seals, its wires, its routes, in both formats, over folder and SFTP."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters.iso20022 import ADAPTER as ISO
from adapters.standard_file import ADAPTER as STANDARD
from gateway.codec import cms, xmldsig
from gateway.core.adapter import Adapter
from gateway.core.bank import (
    Agreement,
    Bank,
    Block,
    Detached,
    DocKind,
    Head,
    PayLine,
    PaymentHead,
    Row,
    SealSlot,
    WireKind,
)
from gateway.core.ports import Crypto, Wire
from gateway.core.route import Context, Get, Route, Save, SealedDocument, Sent, Wait
from gateway.core.verdicts import Judgement, Outcome, Verdict
from gateway.edge.archive import FolderArchive
from gateway.edge.atrest import AtRest
from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto
from gateway.edge.crypto.pki import client_name, host_name, make, sign_name
from gateway.edge.wires import open_wire
from gateway.edge.work import InlineWork
from gateway.sandbox.runner import FolderWire, Keys, Running, Sandbox, SandboxBank, SftpWire
from tests.sandbox.bureau import until

NOW = dt.datetime.now(dt.UTC)
CREATED = dt.datetime(2015, 6, 10, 9, 0, tzinfo=dt.timezone(dt.timedelta(hours=8)))
CODE, CUSTOMER = "BANKA", "FS0001"


class Side(NamedTuple):
    """The gateway's side of one bank."""

    bank: Bank
    adapter: Adapter
    wire: Wire
    crypto: Crypto
    archive: FolderArchive
    running: Running


@pytest.fixture(params=[(adapter, wire) for adapter in (ISO, STANDARD) for wire in (WireKind.FOLDER, WireKind.SFTP)])
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    """A running bank, and our wire to it."""
    adapter, kind = request.param
    pki = make(tmp_path / "pki", [CODE], NOW - dt.timedelta(days=1))
    root = tmp_path / "wire"
    theirs: FolderWire | SftpWire = FolderWire(directory=str(root))
    if kind is WireKind.SFTP:
        host, client = (pki.folder / f"{host_name(CODE)}.key", pki.folder / f"{client_name(CODE)}.pub")
        theirs = SftpWire(directory=str(root), host_key=str(host), client_keys=str(client))
    sandbox = SandboxBank(
        code=CODE,
        adapter=adapter.code,
        customer=CUSTOMER,
        wire=theirs,
        state=str(tmp_path / "state"),
        keys=Keys(
            sign_key=str(pki.folder / f"{sign_name(CODE)}.key"),
            certificate=str(pki.folder / f"{sign_name(CODE)}.crt"),
            bureau=(str(pki.folder / "bureau-sign.crt"),),
        ),
    )
    running = Running(Sandbox(banks=(sandbox,), poll_s=0.02), tmp_path)
    running.start()
    options: dict[str, str | int | bool] = {"root": str(root), "complete": "rename"}
    if kind is WireKind.SFTP:
        host_key = (pki.folder / f"{host_name(CODE)}.pub").read_text().strip()
        options = {"host": "127.0.0.1", "port": running.ready[CODE]["port"], "user": CUSTOMER, "complete": "rename"}
        options |= {"host_key": " ".join(host_key.split()[:2]), "client_key": f"{client_name(CODE)}.key"}
    bank = Bank(
        code=CODE,
        name="Bank Jia",
        adapter=adapter.code,
        wire=kind,
        customer=CUSTOMER,
        pins=(sign_name(CODE),),
        wire_options=options,
    )
    credentials = Credentials(pki.folder)
    crypto = ConfiguredCrypto(pki.bureau, credentials, SystemClock(), InlineWork(), folder=pki.folder, banks=[bank])
    archive = FolderArchive(tmp_path / "archive", AtRest(os.urandom(32)))
    wire = open_wire(bank, archive, credentials)
    yield Side(bank, adapter, wire, crypto, archive, running)
    await wire.close()
    running.stop()


async def _sealed(side: Side, reference: str, lines: list[PayLine]) -> SealedDocument:
    """Written, sealed and archived, as flow does it."""
    head = PaymentHead(
        reference=reference,
        batch="B1",
        sequence=1,
        created=CREATED,
        pay_date=dt.date(2015, 6, 15),
        fund="pension",
        benefit="pension",
        debit_account="9900000000000018",
        debit_name="某市社会保险基金管理局",
        count=len(lines),
        minor=sum(line.amount for line in lines),
    )
    spool = side.archive.spool(16 * 1024 * 1024)
    certificate = side.crypto.certificate("bureau-sign")
    hole = -1
    for part in side.adapter.payment(head, lines, side.bank):
        if isinstance(part, SealSlot):
            hole = spool.hole(xmldsig.signature_size(certificate, 256))
        else:
            spool.write(part)
    seal: bytes | None = None
    if isinstance(side.adapter.seal, Detached):
        shown = cms.signed_attributes(spool.running_digest(), NOW.replace(microsecond=0))
        seal = cms.signed_data(shown, await side.crypto.sign("bureau-sign", "rsa-sha256", shown), certificate)
    else:
        shown = xmldsig.signed_info(spool.running_digest())
        value = await side.crypto.sign("bureau-sign", "rsa-sha256", shown)
        spool.fill(hole, xmldsig.signature(shown, value, certificate))
    name = f"payment_{reference}.txt"
    return SealedDocument(
        reference=reference,
        name=name,
        digest=spool.keep(),
        size=spool.size,
        kind=DocKind.PAYMENT,
        seal=seal,
        seal_name=f"{name}.p7s" if seal else "",
    )


async def _drive(route: Route[Any], wire: Wire, got: Callable[[str, bytes, bytes | None], None]) -> Any:
    """A small ``travel``: performs requests, takes in what is fetched."""
    reply: Any = None
    while True:
        try:
            request = route.send(reply)
        except StopIteration as end:
            return end.value
        if isinstance(request, Get):
            payload = b"".join([chunk async for chunk in wire.read(request.path)])
            seal = b"".join([chunk async for chunk in wire.read(request.seal_path)]) if request.seal_path else None
            got(request.name, payload, seal)
            reply = True
        else:
            reply = None if isinstance(request, Wait | Save) else await wire.perform(request)


def _rows(side: Side, payload: bytes, seal: bytes | None) -> tuple[Head, list[Row], list[Judgement]]:
    """Verified, then decoded and classified."""
    assert side.adapter.seal is not None
    verified = side.crypto.verify(side.bank, side.adapter.seal, io.BytesIO(payload), seal, NOW)
    assert verified.by == sign_name(CODE)
    items: Iterator[Any] = iter(list(side.adapter.read(verified.signed)))
    head = next(items)
    assert isinstance(head, Head)
    rest = list(items)
    blocks = [item for item in rest if isinstance(item, Block)]
    rows = [item for item in rest if isinstance(item, Row)]
    judged = [side.adapter.judge(head, blocks[row.block] if row.block >= 0 else None, row, Agreement()) for row in rows]
    return head, rows, judged


async def test_there_and_back(side: Side) -> None:
    """Sealed by our keys, sent by our route over our wire, booked; receipt and result fetched, verified, read: all paid."""
    lines = [PayLine(n, 500 + n, f"张{n}·三", f"990001{n:013d}", 184_000 + n) for n in range(1, 201)]
    document = await _sealed(side, "BANKA2015061000001", lines)
    routes = side.adapter.routes[side.bank.wire]
    context = Context(bank=side.bank, now=NOW)
    fetched: list[tuple[str, bytes, bytes | None]] = []

    def got(name: str, payload: bytes, seal: bytes | None) -> None:
        fetched.append((name, payload, seal))

    assert await _drive(routes.submit(document, context), side.wire, got) == Sent(document.digest)
    until(lambda: True if side.running.books(CODE)["paid"]["count"] == 200 else None)
    for _ in range(100):
        await _drive(routes.fetch(context), side.wire, got)
        if len(fetched) >= 2:
            break
        await asyncio.sleep(0.05)
    receipt, result = (_rows(side, payload, seal) for _, payload, seal in fetched)
    assert receipt[0].kind is DocKind.RECEIPT
    assert receipt[0].original == "BANKA2015061000001"
    if receipt[0].original_digest:
        assert receipt[0].original_digest == document.digest
    assert [(row.ref, row.amount) for row in result[1]] == [(str(line.key), line.amount) for line in lines]
    assert set(result[2]) == {Judgement(Outcome.PAID, Verdict.PAID)}
