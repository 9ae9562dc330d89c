"""``sheyin serve``: run the gateway until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
import time
from typing import Annotated

import msgspec
import structlog
from cyclopts import Parameter

from gateway.cli.assembly import Role, open_gateway
from gateway.cli.config import Config, load
from gateway.cli.output import ConfigPath, Exit, Output
from gateway.core.calendar import CHINA_TIME, calendar_warning
from gateway.core.errors import Refused
from gateway.edge import bus_topology
from gateway.edge.clock import SystemClock
from gateway.edge.ledger import migrate
from gateway.edge.log import configure
from gateway.edge.supervisor import Supervisor
from gateway.edge.work import one_heap

log = structlog.get_logger(__name__)


def serve(
    *,
    role: Annotated[str, Parameter(help="Comma-separated parts to run: intake, lanes, outbox. Default: all.")] = "",
    poll_ms: Annotated[
        int, Parameter(help="How often a bank's side is looked at, at the latest, in milliseconds.")
    ] = 1_000,
    config: ConfigPath = None,
) -> Exit:
    """Run the stages under a supervisor. Prints one JSON line when ready, and one with what it used when it ends (SIGTERM, SIGINT).

    Parameters
    ----------
    role
        Parts of the work; replicas may take different ones.
    poll_ms
        Results are also looked for as soon as something was sent.
    config
        The configuration.
    """
    loaded = load(config)
    roles = _roles(role)
    configure(level=loaded.gateway.log_level)
    one_heap()
    loaded.data_dir.mkdir(parents=True, exist_ok=True)
    migrate.check(loaded.ledger_url())
    return asyncio.run(_serve(loaded, roles, poll_ms))


def _roles(text: str) -> list[Role]:
    try:
        return [Role(word.strip()) for word in text.split(",")] if text else list(Role)
    except ValueError:
        raise Refused(f"no such role in {text!r}; there are {', '.join(Role)}", where="--role") from None


async def _serve(config: Config, roles: list[Role], poll_ms: int) -> Exit:
    started = time.monotonic()
    clock = SystemClock()
    if warning := calendar_warning(clock.now().astimezone(CHINA_TIME).date()):
        log.warning("calendar", what=warning)
    supervisor = Supervisor(clock=clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stopping.set)
    if not config.local_bus:
        await bus_topology.declare(config.bus_url(), config.topology(), tls=config.bus_tls())
    async with open_gateway(config, clock) as gateway:
        for expiry in gateway.crypto.expiring(clock.now()):
            log.warning("certificate_expires", key=expiry.key.name, days_left=expiry.days_left)
        gateway.supervise(supervisor, roles, poll_s=poll_ms / 1000)
        _line(
            {
                "ready": {
                    "owner": config.owner,
                    "roles": [str(role) for role in roles],
                    "banks": [bank.code for bank in config.banks],
                }
            }
        )
        _spare_the_collector()
        stuck = await supervisor.run()
    used = resource.getrusage(resource.RUSAGE_SELF)
    _line(
        {
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
            "peak_rss_mib": round(used.ru_maxrss / 1024, 1),
            "seconds": round(time.monotonic() - started, 3),
            "stuck": stuck,
        }
    )
    return Exit.OK


def _spare_the_collector() -> None:
    """What is loaded now stays for ever, and pages of 5,000 rows are no garbage: a tenth of the CPU went into looking at them again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def _line(value: object) -> None:
    """One JSON document in one line, at once: whoever started us waits for it."""
    Output(as_json=True).raw(msgspec.json.encode(value) + b"\n")
    sys.stdout.flush()
