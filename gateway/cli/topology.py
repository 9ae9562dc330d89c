"""``sheyin topology``: the exchanges and queues on the broker, printed, checked or declared."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.cli import config as configuration
from gateway.cli.config import Config
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.core import topology as core
from gateway.core.bank import WireKind
from gateway.core.errors import Refused
from gateway.core.topology import Topology

Flag = Annotated[bool, Parameter(negative="")]


def topology(
    *,
    apply: Flag = False,
    check: Flag = False,
    permissions: Flag = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> Exit:
    """Print the exchanges and queues that this configuration needs on the broker; or check them, or declare them.

    Without a configuration the part is printed that every installation has.

    Parameters
    ----------
    apply
        Declare everything that is missing. Nothing that is there is changed: what differs is refused by name.
    check
        Declare again, actively, so that the broker refuses what is weaker; with [gateway] bus_management also bindings and
        policies. Makes nothing. Exit code 1 if something differs.
    permissions
        Print the least permissions of each broker user, as commands of rabbitmqctl.
    """
    output = Output(as_json)
    path = configuration.find(config)
    if path is None and (apply or check or permissions):
        configuration.load(None)  # raises: there is nothing to connect to
    loaded = configuration.load(path, files=False) if path is not None else None
    wanted = loaded.topology() if loaded else core.topology()
    if loaded is not None and (apply or check):
        if loaded.local_bus:
            raise Refused(
                "the bus is in this process: there is no broker to declare on", where=loaded.key("gateway.bus")
            )
        return asyncio.run(_on_broker(output, loaded, wanted, apply=apply))
    if loaded is not None and permissions:
        return _print_permissions(output, loaded)
    return _print(output, wanted)


async def _on_broker(output: Output, config: Config, wanted: Topology, *, apply: bool) -> Exit:
    from gateway.edge import bus_topology
    from gateway.edge.rabbit_admin import RabbitAdmin

    url, tls = config.bus_url(), config.bus_tls()
    if apply:
        await bus_topology.declare(url, wanted, tls=tls)
        if output.as_json:
            output.json({"declared": _document(wanted)})
        output.say(f"declared: {len(wanted.exchanges)} exchanges, {len(wanted.queues)} queues")
        return Exit.OK
    differences = await bus_topology.verify(url, wanted, tls=tls)
    seen = "declarations"
    if (management := config.management()) is not None:
        base, user, password, vhost = management
        async with RabbitAdmin(base, user, password, vhost=vhost, tls=tls) as admin:
            known = {str(difference) for difference in differences}
            differences += [found for found in await bus_topology.check(admin, wanted) if str(found) not in known]
        seen = "declarations, bindings and policies"
    if output.as_json:
        told = [{"what": d.what, "part": d.part, "wanted": d.wanted, "found": d.found} for d in differences]
        output.json({"checked": seen, "differences": told})
    for difference in differences:
        output.say(str(difference))
    if not differences:
        output.say(f"as it must be: {len(wanted.exchanges)} exchanges, {len(wanted.queues)} queues ({seen} checked)")
    return Exit.DIFFERS if differences else Exit.OK


def _document(wanted: Topology) -> dict[str, Any]:
    """The topology as a program reads it: arguments as they are declared."""
    return {
        "exchanges": [{"name": exchange.name, "kind": exchange.kind, "durable": True} for exchange in wanted.exchanges],
        "queues": [
            {
                "name": queue.name,
                "durable": True,
                "arguments": queue.arguments(),
                "bindings": [{"exchange": binding.exchange, "key": binding.key} for binding in queue.bindings],
                "message_bytes_max": queue.message_bytes_max,
            }
            for queue in wanted.queues
        ],
    }


def _print(output: Output, wanted: Topology) -> Exit:
    if output.as_json:
        output.json(_document(wanted))
        return Exit.OK
    output.table(
        "Exchanges 交换机", ("name", "kind"), ((exchange.name, exchange.kind) for exchange in wanted.exchanges)
    )
    output.table(
        "Queues 队列",
        ("name", "kind", "bound to", ("most", "right"), "when full", ("returns", "right"), "dead letters"),
        (
            (
                queue.name,
                queue.kind,
                "\n".join(f"{binding.exchange} {binding.key}" for binding in queue.bindings),
                f"{queue.length_max:,}",
                queue.overflow,
                f"{queue.delivery_limit:,}",
                f"{queue.dead_letter_exchange} {queue.dead_letter_strategy}" if queue.dead_letter_exchange else "none",
            )
            for queue in wanted.queues
        ),
    )
    return Exit.OK


def _print_permissions(output: Output, config: Config) -> Exit:
    listed = [*_gateway_permissions(), *_payer_permissions(config), *_bank_permissions(config)]
    if output.as_json:
        output.json({"permissions": listed})
        return Exit.OK
    for one in listed:
        output.say(
            f"rabbitmqctl set_permissions -p VHOST {one['user']} '{one['configure']}' '{one['write']}' '{one['read']}'"
        )
        for exchange, (write, read) in one["topics"].items():
            output.say(f"rabbitmqctl set_topic_permissions -p VHOST {one['user']} {exchange} '{write}' '{read}'")
    return Exit.OK


def _permission(user: str, configure: str, write: str, read: str, topics: dict[str, tuple[str, str]]) -> dict[str, Any]:
    return {"user": user, "configure": configure, "write": write, "read": read, "topics": topics}


def _gateway_permissions() -> list[dict[str, Any]]:
    """The gateway declares, binds and uses everything of its own; ``amq.default`` carries what goes back to a queue."""
    ours = rf"^({core.DISBURSEMENT}|gateway\..*|{core.BANKS}|payer\..*|bank\..*|amq\.default)$"
    return [_permission("gateway", ours, ours, ours, {})]


def _payer_permissions(config: Config) -> list[dict[str, Any]]:
    """A payer publishes its own messages and reads its own queue."""
    return [
        _permission(
            f"payer-{payer.code}",
            "^$",
            f"^{core.DISBURSEMENT}$",
            rf"^payer\.{payer.code}\.events$",
            {core.DISBURSEMENT: (r"^(run|instruction)\.", "^$")},
        )
        for payer in config.payers
    ]


def _bank_permissions(config: Config) -> list[dict[str, Any]]:
    """A bank publishes to its own inbound queue and reads its own outbound one."""
    return [
        _permission(
            f"bank-{bank.code}",
            "^$",
            f"^{core.BANKS}$",
            rf"^bank\.{bank.code}\.out$",
            {core.BANKS: (rf"^bank\.{bank.code}\.in$", "^$")},
        )
        for bank in config.banks
        if bank.wire is WireKind.AMQP
    ]
