"""A configured Bank together with the adapter that speaks its format."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.core.adapter import Adapter
from gateway.core.bank import Bank, Limits
from gateway.core.calendar import CHINA, Year
from gateway.core.route import Routes


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """What the stages need to know of one bank."""

    bank: Bank
    adapter: Adapter
    calendar: Mapping[int, Year] = msgspec.field(default_factory=lambda: CHINA)

    @property
    def limits(self) -> Limits:
        """The Bank's own, or the format's."""
        return self.bank.limits or self.adapter.limits

    @property
    def routes(self) -> Routes:
        """The format's generators on this Bank's wire."""
        return self.adapter.routes[self.bank.wire]

    @property
    def file_name(self) -> str:
        """The Bank's own template, or the format's."""
        return self.bank.file_name or self.adapter.file_name


Partners = Mapping[str, Partner]
