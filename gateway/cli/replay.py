"""``sheyin banks replay DIR``: before an upgrade, every payment document that an installation has sent is written again and compared."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

from gateway.cli import config as configuration
from gateway.cli.acting import quiet, reach
from gateway.cli.config import Config
from gateway.cli.output import AsJson, Exit, Output, several
from gateway.core.bank import DocKind
from gateway.core.errors import SheyinError
from gateway.core.ledger import OutDocument
from gateway.core.partner import Partner
from gateway.core.states import DocumentState
from gateway.edge.clock import SystemClock
from gateway.edge.points import CrashPoints
from gateway.edge.work import ThreadWork

#: A void Document's payments were filed anew: its lines are not in the ledger any more.
_STATES = [state for state in DocumentState if state not in (DocumentState.OPEN, DocumentState.VOID)]
_SHOWN_MAX = 20


class Replayed(NamedTuple):
    """One document, written again."""

    document: OutDocument
    offset: int  # of the first byte that differs; -1: none
    what: str = ""  # why it could not be written at all


def replay(folder: Path, /, *, bank: str = "", as_json: AsJson = False) -> Exit:
    """Write every payment document of an installation again with this version's formats and compare it with the archive, byte for byte.

    Nothing is changed and nothing is sent. A difference means that this version would have sent the bank another file for the same
    payments. Signatures are passed over. Exit codes: 0 all are equal, 1 one differs.

    Parameters
    ----------
    folder
        The installation: where its sheyin.toml lies.
    bank
        Only this bank's.
    """
    loaded, output = configuration.load(folder / configuration.FILE_NAME), Output(as_json)
    quiet()
    reach(loaded)
    found = asyncio.run(_replay_all(loaded, bank, output))
    differ = [one for one in found if one.offset >= 0 or one.what]
    if as_json:
        output.json(
            {"documents": len(found), "equal": len(found) - len(differ), "differ": [_told(one) for one in differ]}
        )
    for one in differ[:_SHOWN_MAX]:
        why = one.what or f"differs from byte {one.offset:,} on"
        output.say(f"{one.document.bank} {one.document.name}: {why}")
    output.say(f"{several(len(found), 'document')} written again, {len(differ)} of them different")
    return Exit.DIFFERS if differ else Exit.OK


def _told(one: Replayed) -> dict[str, Any]:
    return {
        "bank": one.document.bank,
        "name": one.document.name,
        "reference": one.document.reference,
        "digest": one.document.digest,
        "offset": one.offset,
        "what": one.what,
    }


async def _replay_all(config: Config, only: str, output: Output) -> list[Replayed]:
    from gateway.cli.assembly import open_ledger
    from gateway.flow.sealing import Sealer

    clock, work = SystemClock(), ThreadWork()
    crypto = config.crypto(clock, work)
    found = []
    try:
        async with open_ledger(config, clock) as ledger:
            archive = config.archive(config.at_rest())
            sealer = Sealer(ledger, archive, crypto, work, clock, CrashPoints(), config.gateway.bureau)
            for bank in config.banks:
                if only not in ("", bank.code):
                    continue
                partner = Partner(bank=bank, adapter=config.adapter(bank))
                documents = [
                    document
                    for document in await ledger.documents(bank.code, _STATES)
                    if document.kind is DocKind.PAYMENT and document.digest
                ]
                with output.progress(bank.code, len(documents), "documents") as step:
                    for document in documents:
                        found.append(await _one(sealer, document, partner))
                        step(1)
    finally:
        await crypto.close()
        work.close()
    return found


async def _one(sealer: Any, document: OutDocument, partner: Partner) -> Replayed:
    try:
        return Replayed(document, await sealer.replay(document, partner))
    except SheyinError as error:
        return Replayed(document, -1, str(error))
