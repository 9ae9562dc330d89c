"""How a bus stands: what readiness and the queue-health page ask of either bus."""

from __future__ import annotations

from datetime import datetime

import msgspec


class LinkState(msgspec.Struct, frozen=True, kw_only=True):
    """How one connection stands. Times are UTC."""

    connected: bool
    since: datetime | None  # connected, or away, since then; None before the first try ended
    blocked: str = ""  # the broker's reason for taking nothing from this connection (an alarm); empty: it takes
    blocked_since: datetime | None = None
    connections: int = 1  # how often a connection was made
    last_error: str = ""


class BusState(msgspec.Struct, frozen=True, kw_only=True):
    """How the bus stands, by its two connections."""

    publishing: LinkState
    consuming: LinkState

    @property
    def connected(self) -> bool:
        """Both connections are up."""
        return self.publishing.connected and self.consuming.connected

    @property
    def blocked(self) -> bool:
        """The broker takes nothing for now; what is consumed goes on."""
        return bool(self.publishing.blocked)
