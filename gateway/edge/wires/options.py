"""The options of each wire: what stands under ``wire_options`` of a Bank, checked when the wire is made.

========== =============================================================================================
folder     ``root``: the folder that is shared with the bank
sftp       ``host``, ``port``, ``user``, ``host_key`` (one ``ssh-… …`` line, or two separated by a newline during
           a change-over), ``client_key`` or ``password`` (names of credentials), ``root``
amqp       none
https      ``url``; ``ca`` (PEM text; empty: the system's), ``pin`` (SHA-256 of the bank's public key in base64; two
           during a change-over), ``client_certificate`` and ``client_key`` (names of credentials), ``plain``,
           ``deadline_s``, ``reply_bytes_max``, ``directory`` (a folder for files, beside the commands)
files      ``complete``, ``stable_s`` (see ``listing``), ``done``: what becomes of a file that is archived with
           us: ``move`` it into ``done/`` beside it, ``delete`` it, or ``leave`` it where the bank forbids both
========== =============================================================================================
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from gateway.core.bank import Bank
from gateway.core.errors import Code, Refused
from gateway.edge.wires.listing import Complete

Aside = Literal["move", "delete", "leave"]
DONE_FOLDER = "done"


class Files(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every wire that carries files has."""

    complete: Complete = "stable"
    stable_s: int = 5
    done: Aside = "move"


class FolderOptions(Files, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A folder that both sides reach."""

    root: str


class SftpOptions(Files, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bank's SFTP server. Times are per operation; a transfer may take ``deadline_s`` plus its size at the least rate."""

    host: str
    host_key: str
    user: str
    port: int = 22
    client_key: str = ""
    password: str = ""
    root: str = ""
    deadline_s: int = 30
    bytes_per_s_min: int = 50_000
    idle_s_max: int = 60  # after this long a kept connection is not trusted any more: routers forget it silently


class HttpsOptions(Files, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bank's HTTPS service, or its front-end machine in our network."""

    url: str
    ca: str = ""
    pin: str = ""
    client_certificate: str = ""
    client_key: str = ""
    plain: bool = False
    deadline_s: Annotated[int, msgspec.Meta(ge=1, le=100)] = 60  # a route's request may take 120 s in all
    reply_bytes_max: int = 16 * 1024 * 1024
    directory: str = ""


class AmqpOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The broker is the gateway's own; nothing is left to say."""


O = TypeVar("O", bound=msgspec.Struct)  # noqa: E741 - a type variable for options


def options_of(bank: Bank, type_: type[O]) -> O:
    """The Bank's options for its wire. Raises Refused SCHEMA."""
    try:
        return msgspec.convert(dict(bank.wire_options), type_)
    except msgspec.ValidationError as error:
        raise Refused(f"wire_options: {error}", code=Code.SCHEMA, where=f"bank {bank.code}") from None
