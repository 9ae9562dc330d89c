"""``sheyin keys``: every key of ours and every pinned certificate, and when they end."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.cli import config as configuration
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.core.ports import KeyInfo
from gateway.edge.clock import SystemClock
from gateway.edge.crypto import WARN_DAYS
from gateway.edge.work import InlineWork


def keys(*, config: ConfigPath = None, as_json: AsJson = False) -> Exit:
    """List our keys and the pinned certificates of partners, with their fingerprints and the days that they have left.

    All of them are loaded, so a key that does not open or does not fit its certificate is found here. Warns 60, 30, 7 and 1 days
    before one ends; exit code 1 if one has ended or is not valid yet.
    """
    output = Output(as_json)
    loaded = configuration.load(config, files=False)
    clock = SystemClock()
    crypto = loaded.crypto(clock, InlineWork())
    now = clock.now()
    users = {
        pin: [bank.code for bank in loaded.banks if pin in bank.pins] for bank in loaded.banks for pin in bank.pins
    }
    warned = {found.key.name: found.within_days for found in crypto.expiring(now, WARN_DAYS)}
    found = crypto.keys()
    listed = [
        {
            "name": key.name,
            "ours": key.name in loaded.keys.keys,
            "use": key.use,
            "banks": users.get(key.name, []),
            "subject": key.subject,
            "fingerprint": key.fingerprint,
            "not_before": key.not_before,
            "not_after": key.not_after,
            "days_left": (key.not_after - now).days,
            "warning": _warning(key, now, warned),
        }
        for key in found
    ]
    if as_json:
        output.json({"keys": listed})
    else:
        output.table(
            f"Keys and pins 密钥与证书 ({loaded.path})",
            ("name", "use", "of", "subject", "sha-256 fingerprint", "until", ("days left", "right"), ""),
            (
                (
                    key.name,
                    key.use,
                    "us" if key.name in loaded.keys.keys else ", ".join(users.get(key.name, [])) or "nobody",
                    key.subject,
                    key.fingerprint,
                    f"{key.not_after:%Y-%m-%d}",
                    str((key.not_after - now).days),
                    _warning(key, now, warned),
                )
                for key in found
            ),
        )
    ended = [key for key in found if not key.not_before <= now <= key.not_after]
    return Exit.DIFFERS if ended else Exit.OK


def _warning(key: KeyInfo, now: datetime, warned: dict[str, int]) -> str:
    if now < key.not_before:
        return f"not valid before {key.not_before.astimezone(UTC):%Y-%m-%d}"
    if key.name not in warned:
        return ""
    return f"ends within {warned[key.name]} days" if warned[key.name] else "has ended"
