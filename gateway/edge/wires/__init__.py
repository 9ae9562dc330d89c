"""The wires: one module a transport, all of them the Wire port, none of them deciding anything.

========================= =========================================================================================
:mod:`.folder`            a folder that both sides reach
:mod:`.sftp`              the bank's SFTP server
:mod:`.amqp`              queues on the gateway's own broker
:mod:`.https`             the bank's HTTPS service, or its front-end machine
:mod:`.names`             which names we take
:mod:`.listing`           which files are whole
:mod:`.options`           what stands under ``wire_options`` of a Bank
========================= =========================================================================================

What every wire says after a failure is its promise to ``flow.travel``: **NotSent** means that the bank surely has
nothing that it acts on, **InDoubt** that it may have, **Unverified** that the partner is not who it should be. In case
of doubt it is doubt.
"""

from __future__ import annotations

from gateway.core.bank import Bank, WireKind
from gateway.core.errors import Refused
from gateway.core.ports import Archive, Bus, Clock, Wire, Work
from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.work import InlineWork


def open_wire(
    bank: Bank,
    archive: Archive,
    credentials: Credentials,
    *,
    bus: Bus | None = None,
    clock: Clock | None = None,
    work: Work | None = None,
) -> Wire:
    """The Bank's wire, not connected yet. Raises Refused for options that cannot be right."""
    clock, work = clock or SystemClock(), work or InlineWork()
    if bank.wire is WireKind.FOLDER:
        from gateway.edge.wires.folder import FolderWire

        return FolderWire(bank, archive, credentials, clock=clock, work=work)
    if bank.wire is WireKind.SFTP:
        from gateway.edge.wires.sftp import SftpWire  # asyncssh takes 0.2 s to import

        return SftpWire(bank, archive, credentials, clock=clock, work=work)
    if bank.wire is WireKind.AMQP:
        from gateway.edge.wires.amqp import AmqpWire

        if bus is None:
            raise Refused("an AMQP wire needs the gateway's bus", where=f"bank {bank.code}")
        return AmqpWire(bank, archive, credentials, bus=bus, clock=clock, work=work)
    from gateway.edge.wires.https import HttpsWire  # aiohttp takes 0.1 s to import

    return HttpsWire(bank, archive, credentials, clock=clock, work=work)
