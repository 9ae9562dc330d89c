"""``sheyin banks``: every installed format, without any configuration, and the configured banks; a new format; a replay of what was sent."""

from __future__ import annotations

from typing import Any

import msgspec
from cyclopts import App

import adapters
from gateway.cli import config as configuration
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.core.adapter import Adapter
from gateway.core.bank import Bank

app = App(name="banks", help="Every installed format, and the configured banks.")
app.command("gateway.cli.banks_new:new", help="Write the skeleton of a new format into a checkout of the source.")
app.command("gateway.cli.replay:replay", help="Write every payment document of an installation again and compare.")


@app.default
def banks(*, config: ConfigPath = None, as_json: AsJson = False) -> Exit:
    """List every installed format, and the configured banks if there is a configuration.

    A format tells how sure its source is: certain (a published standard), likely, partial, or own (our own specification).
    """
    output = Output(as_json)
    found = adapters.discover()
    path = configuration.find(config)
    configured = configuration.load(path, files=False) if path is not None else None
    formats = [format_of(adapter) for adapter in found.values()]
    listed = [bank_of(bank, found[bank.adapter]) for bank in configured.banks] if configured else []
    if as_json:
        output.json({"formats": formats, "banks": listed})
        return Exit.OK
    output.table(
        "Formats 报文格式",
        ("format", "title", "wires", "seals", "trust", ("rows", "right"), "charset", "confidence", ("codes", "right")),
        (
            (
                item["format"],
                f"{item['title']}\n{item['title_zh']}",
                ", ".join(item["wires"]),
                ", ".join(item["seals"]) or "none",
                item["trust"],
                f"{item['limits']['rows_max']:,}",
                item["charset"],
                item["confidence"],
                str(item["codes"]),
            )
            for item in formats
        ),
    )
    for item in formats:
        able = item["capabilities"]
        output.say(f"  {item['format']}: writes {', '.join(able['writes'])}; reads {', '.join(able['reads'])}")
        output.say(f"    source: {item['source']}")
    if configured is None:
        output.say("\nNo configuration here: `sheyin init` writes one.")
        return Exit.OK
    output.say("")
    output.table(
        f"Banks 合作银行 ({configured.path})",
        ("code", "name", "format", "wire", "seal", "window", "credited", "pins"),
        (
            (
                item["code"],
                f"{item['name']} {item['name_zh']}".strip(),
                item["format"],
                item["wire"],
                "sealed" if item["sealed"] else "NOT SEALED",
                f"{item['window']['opens']}-{item['window']['cut_off']}"
                + (" every day" if item["window"]["every_day"] else ""),
                ", ".join(item["agreement"]["credited"]),
                ", ".join(item["pins"]),
            )
            for item in listed
        ),
    )
    return Exit.OK


def format_of(adapter: Adapter) -> dict[str, Any]:
    """One format as a program reads it."""
    return {
        "format": adapter.code,
        "title": adapter.title,
        "title_zh": adapter.title_zh,
        "wires": sorted(str(wire) for wire in adapter.routes),
        "seals": [] if adapter.seal is None else [str(adapter.seal.__struct_config__.tag)],
        "trust": str(adapter.trust),
        "limits": msgspec.structs.asdict(adapter.limits),
        "capabilities": {
            "writes": sorted(str(kind) for kind in adapter.capabilities.writes),
            "reads": sorted(str(kind) for kind in adapter.capabilities.reads),
        },
        "charset": adapter.charset,
        "confidence": adapter.confidence,
        "source": adapter.source,
        "codes": len(adapter.codes),
    }


def bank_of(bank: Bank, adapter: Adapter) -> dict[str, Any]:
    """One configured bank as a program reads it. Addresses of wires are left out, and there are no secrets to leave out."""
    return {
        "code": bank.code,
        "name": bank.name,
        "name_zh": bank.name_zh,
        "format": bank.adapter,
        "wire": str(bank.wire),
        "sealed": bank.sealed and adapter.seal is not None,
        "customer": bank.customer,
        "window": msgspec.to_builtins(bank.window),
        "agreement": msgspec.to_builtins(bank.agreement),
        "limits": msgspec.structs.asdict(bank.limits or adapter.limits),
        "funds": sorted(bank.debit_accounts),
        "sign_key": bank.sign_key,
        "pins": list(bank.pins),
    }
