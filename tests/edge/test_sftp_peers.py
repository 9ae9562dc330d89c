"""Servers that are old, or whose clock is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.errors import NotSent
from gateway.core.route import List, Stat
from tests.edge.sftp_bank import SftpBank
from tests.edge.wire_kit import Wires


@pytest.mark.parametrize(
    "old",
    [
        {"encryption_algs": ["chacha20-poly1305@openssh.com"]},
        {"encryption_algs": ["aes256-cbc"], "mac_algs": ["hmac-sha2-256-etm@openssh.com"]},
        {"encryption_algs": ["aes256-ctr"], "mac_algs": ["hmac-sha1"]},
    ],
    ids=["chacha20", "CBC with encrypt-then-MAC", "SHA-1"],
)
async def test_ciphers_that_terrapin_needs_are_not_spoken(wires: Wires, server: SftpBank, old: dict[str, Any]) -> None:
    """Whether the peer knows the strict key exchange or not: no common cipher, so nothing is sent (G9)."""
    await server.stop()
    await server.start(**old)
    with pytest.raises(NotSent):
        await wires.to(server.port).perform(Stat("in/PAY0001"))
    assert server.tried_logins == 0


@pytest.mark.parametrize("hours", [8, -8])
async def test_a_server_whose_clock_is_hours_off(wires: Wires, server: SftpBank, hours: int) -> None:
    """Whether a file has come to rest is told by our clock and two equal looks, not by the server's times (G10)."""
    server.put("RES0001", b"x", age_s=hours * 3_600)
    wire = wires.to(server.port, complete="stable", stable_s=5)
    assert await wire.perform(List("out", 10)) == ()
    wires.clock.added_s += 6
    assert [entry.name for entry in await wire.perform(List("out", 10))] == ["RES0001"]
