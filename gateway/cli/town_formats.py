"""What the formats of single banks and of CNAPS need in a town, at both ends, besides what every bank has: ``format_options``, keys, a shared folder.

Numbers of customers, business modes and certificates are invented. A bank is asked as soon after sending as its format wants (the clock of a
demo is virtual) and then every second of real time, since how often is measured by the clock that does not jump.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from gateway.edge.crypto import pki
from gateway.sandbox.config import HttpWire

Options = Mapping[str, str | int | bool]

_USER = "N000000001"
_MODE = "00001"
_BRANCH = "69"
_CARD = "example.y.4400"
_SENDER, _RECEIVER = "990500000001", "990500000002"
_CLIENT_FOLDERS = {"upload": "D:\\b2bi\\up", "download": "D:\\b2bi\\down"}


def _nothing(*_: object) -> dict[str, str]:
    return {}


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One format."""

    path: str = ""  # behind the address
    tls: bool = False  # HTTPS, each side showing a certificate; otherwise HTTP to a program in the bureau's own network
    sm2: bool = False  # the bank signs with SM2 by the ``openssl`` program
    shared: bool = False  # files lie in a folder beside the commands
    credited: tuple[str, ...] = ()  # of the Agreement, where the usual word is not the format's
    ours: Callable[[str, int], Options] = _nothing  # bank code and port → format_options
    theirs: Callable[[str, Path], dict[str, str]] = (
        _nothing  # bank code and folder of keys → the sandbox bank's options
    )


PLAIN = Dialect()
DIALECTS = {
    "cmb_cloud": Dialect(
        path="/cdcserver/api/v2",
        tls=True,
        sm2=True,
        credited=("S", "FIN/S"),
        ours=lambda code, _: {"userid": _USER, "secret": pki.sm4_name(code), "busmod": _MODE, "ask_every_s": "1"},
        theirs=lambda code, keys: {"userid": _USER, "secret": str(keys / pki.sm4_name(code))},
    ),
    "cmb_frontend": Dialect(
        ours=lambda *_: {"bbknbr": _BRANCH, "busmod": _MODE, "ask_every_s": 1},
        theirs=lambda *_: {"bbknbr": _BRANCH, "busmod": _MODE},
    ),
    "cnaps2": Dialect(
        sm2=True,
        credited=("PR02", "PR05"),
        ours=lambda *_: {
            "sender": _SENDER,
            "receiver": _RECEIVER,
            "checked": "CE01",
            "reply_days": "1",
            "category": "C209",
            "purpose": "9001",
        },
    ),
    "icbc": Dialect(
        ours=lambda _, port: {"id": _CARD, "sign_port": port, "ask_every_s": 1},
        theirs=lambda *_: {"id": _CARD},
    ),
    "pingan": Dialect(
        shared=True,
        ours=lambda *_: {**_CLIENT_FOLDERS, "ask_every_s": 1},
        theirs=lambda *_: dict(_CLIENT_FOLDERS),
    ),
}


def their_wire(dialect: Dialect, code: str, keys: Path, home: Path) -> HttpWire:
    """The bank's own server."""
    directory = str(home / "shared") if dialect.shared else ""
    if not dialect.tls:
        return HttpWire(directory=directory)
    own = keys / pki.tls_name(code)
    clients = str(keys / f"{pki.tls_client_name(code)}.crt")
    return HttpWire(certificate=f"{own}.crt", key=f"{own}.key", clients=clients, directory=directory)


def our_wire(dialect: Dialect, code: str, keys: Path, home: Path, url: str) -> dict[str, str | int | bool]:
    """``wire_options`` to reach it."""
    options: dict[str, str | int | bool] = {"url": url + dialect.path}
    if dialect.shared:
        options["directory"] = str(home / "shared")
    if not dialect.tls:
        return options | {"plain": True}
    name = pki.tls_client_name(code)
    return options | {
        "ca": (keys / f"{pki.tls_name(code)}.crt").read_text(),
        "client_certificate": f"{name}.crt",
        "client_key": f"{name}.key",
    }
