"""The configuration: one TOML file and a few environment variables, decoded strictly, checked whole, with no secret in it.

Found in this order: ``--config``, ``$SHEYIN_CONFIG``, ``./sheyin.toml``. Every fault is a Refused whose ``where`` names the file and the key.
docs/configuration.md has every setting.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import adapters
from gateway.cli import config_file
from gateway.core.adapter import Adapter
from gateway.core.bank import Bank, WireKind
from gateway.core.errors import Code, Refused
from gateway.core.settings import LOCAL_BUS
from gateway.core.topology import Topology, topology
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.keys import KeyFiles

if TYPE_CHECKING:
    from gateway.core.ports import Clock, Work
    from gateway.edge.archive import FolderArchive
    from gateway.edge.atrest import AtRest
    from gateway.edge.crypto import ConfiguredCrypto

FILE_NAME = "sheyin.toml"
FILE_VARIABLE = "SHEYIN_CONFIG"
DEVELOPMENT = "(development)"  # in the subject of every throwaway certificate


class Config:
    """Everything that the composition root needs. Immutable by agreement; printing it shows no secret."""

    def __init__(
        self,
        file: config_file.File,
        folder: Path,
        *,
        path: Path | None = None,
        environment: Mapping[str, str] | None = None,
        adapters_by_code: Mapping[str, Adapter] | None = None,
    ) -> None:
        """``folder`` is where relative paths count from. Takes values that were checked: ``load`` and ``of`` check them."""
        self.path = path
        self.folder = folder
        self.gateway = file.gateway
        self.atrest = file.atrest
        self.keys = KeyFiles(keys=file.keys, pins=file.pins, secrets=file.secrets, engines=file.engines)
        self.payers = file.payer
        self.banks = file.bank
        self._environment = os.environ if environment is None else environment
        self._adapters = adapters_by_code

    def __repr__(self) -> str:
        return f"Config({self.path or self.folder}, {len(self.payers)} payers, {len(self.banks)} banks)"

    # ------------------------------------------------------------------------------------------------ places

    @property
    def data_dir(self) -> Path:
        """Where the embedded ledger and the archive lie unless told otherwise."""
        return self.folder / self.gateway.data_dir

    @property
    def archive_dir(self) -> Path:
        """The folder of the archive."""
        return self.folder / self.gateway.archive_dir if self.gateway.archive_dir else self.data_dir / "archive"

    @property
    def credentials_dir(self) -> Path | None:
        """The folder of credentials, the last place where they are looked for."""
        return self.folder / self.gateway.credentials_dir if self.gateway.credentials_dir else None

    @property
    def owner(self) -> str:
        """This process's name on leases."""
        return self.gateway.replica or socket.gethostname()

    @cached_property
    def credentials(self) -> Credentials:
        """Where secrets come from."""
        return Credentials(self.credentials_dir, self._environment)

    # ------------------------------------------------------------------------------------------------ addresses

    def ledger_url(self) -> str:
        """SQLAlchemy's URL of the ledger, its password in it: for the driver alone. Raises Refused AUTH."""
        url = self.gateway.ledger
        if not url:
            return f"sqlite:///{(self.data_dir / 'ledger.db').resolve()}"
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            return f"sqlite:///{(self.folder / url.removeprefix('sqlite:///')).resolve()}"
        return self._with_password(url, self.gateway.ledger_password)

    @property
    def local_bus(self) -> bool:
        """Whether messages stay in this process."""
        return self.gateway.bus == LOCAL_BUS

    def bus_url(self) -> str:
        """The broker's address with its password: for the driver alone. Raises Refused: AUTH, POLICY for the local bus."""
        if self.local_bus:
            raise Refused("the bus is in this process: there is no broker", where=self.key("gateway.bus"))
        return self._with_password(self.gateway.bus, self.gateway.bus_password)

    def management(self) -> tuple[str, str, str, str] | None:
        """(base URL, user, password, vhost) of the broker's management API, or None where none is configured."""
        if not self.gateway.bus_management or self.local_bus:
            return None
        own, broker = urlsplit(self.gateway.bus_management), urlsplit(self.bus_url())
        user, password = (own.username, own.password) if own.username else (broker.username, broker.password)
        base = urlunsplit(own._replace(netloc=own.netloc.rpartition("@")[2]))
        return base, user or "guest", password or "guest", broker.path.removeprefix("/") or "/"

    def bus_tls(self) -> ssl.SSLContext | None:
        """TLS to the broker: its authority and our client certificate; None where neither is configured."""
        settings = self.gateway
        if not (settings.bus_ca or settings.bus_certificate):
            return None
        try:
            context = ssl.create_default_context(cafile=str(self.folder / settings.bus_ca) if settings.bus_ca else None)
            if settings.bus_certificate:
                key = settings.bus_key or settings.bus_certificate
                context.load_cert_chain(self.folder / settings.bus_certificate, self.folder / key)
        except OSError as error:  # ssl.SSLError is one
            raise Refused(f"TLS to the broker: {error}", code=Code.CERT, where=self.key("gateway.bus_ca")) from None
        return context

    def _with_password(self, url: str, credential: str) -> str:
        if not credential:
            return url
        parts = urlsplit(url)
        user, at, host = parts.netloc.rpartition("@")
        if not at:
            raise Refused("has no user that the password could be of", code=Code.SCHEMA, where=self.key("gateway"))
        secret = quote(self.credentials.text(credential), safe="")
        return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{secret}@{host}"))

    # ------------------------------------------------------------------------------------------------ what it names

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        """Every installed format by its code."""
        if self._adapters is None:
            self._adapters = adapters.discover()
        return self._adapters

    def bank(self, code: str) -> Bank:
        """Raises Refused UNKNOWN_REF for a code that no Bank has."""
        for bank in self.banks:
            if bank.code == code:
                return bank
        known = ", ".join(bank.code for bank in self.banks) or "none"
        raise Refused(f"no bank is called {code!r}; there are {known}", code=Code.UNKNOWN_REF, where=self.key("bank"))

    def adapter(self, bank: Bank) -> Adapter:
        """The format that a Bank speaks."""
        return self.adapters[bank.adapter]

    def topology(self) -> Topology:
        """What must stand on the broker."""
        amqp = [bank.code for bank in self.banks if bank.wire is WireKind.AMQP]
        return topology([payer.code for payer in self.payers], amqp)

    def at_rest(self) -> AtRest:
        """The keys of columns and archive. Raises Refused: AUTH if a credential is missing, POLICY if it is no key."""
        from gateway.edge.atrest import AtRest, master_key

        older = {key.number: master_key(self.credentials.get(key.key)) for key in self.atrest.older}
        return AtRest(master_key(self.credentials.get(self.atrest.key)), self.atrest.number, older)

    def archive(self, at_rest: AtRest) -> FolderArchive:
        """The archive, made where it is not there yet."""
        from gateway.edge.archive import FolderArchive

        return FolderArchive(self.archive_dir, at_rest)

    def crypto(self, clock: Clock, work: Work) -> ConfiguredCrypto:
        """Keys and pins, loaded and checked. Raises Refused: CERT, AUTH, PATH; POLICY for a throwaway key in production."""
        from gateway.edge.crypto import ConfiguredCrypto

        crypto = ConfiguredCrypto(self.keys, self.credentials, clock, work, folder=self.folder, banks=self.banks)
        if self.gateway.production:
            for key in crypto.keys():  # noqa: SIM118 - a list, not a mapping
                if DEVELOPMENT in key.subject:
                    raise Refused("a key made by `sheyin pki dev` is not for production", where=self.key(key.name))
        return crypto

    def key(self, name: str) -> str:
        """``where`` of an error about a setting: the file and the key."""
        return f"{self.path.name}: {name}" if self.path else name


# ---------------------------------------------------------------------------------------------------------------- reading


def find(given: Path | None, environment: Mapping[str, str] | None = None) -> Path | None:
    """The configuration's path: the one given, the environment's, or ``sheyin.toml`` here if there is one."""
    environment = os.environ if environment is None else environment
    if given is not None:
        return given
    if environment.get(FILE_VARIABLE):
        return Path(environment[FILE_VARIABLE])
    return Path(FILE_NAME) if Path(FILE_NAME).is_file() else None


def load(given: Path | None = None, environment: Mapping[str, str] | None = None, *, files: bool = True) -> Config:
    """Read and check the configuration. ``files`` False leaves options that name a file unread (before there are any).

    Raises Refused: PATH if there is none, FORMAT for no TOML, SCHEMA for unknown, missing or mistyped keys, RANGE, CONFLICT, CERT,
    POLICY by the checks of ``core/settings.py``.
    """
    environment = os.environ if environment is None else environment
    path = find(given, environment)
    if path is None:
        raise config_file.advised(
            Refused(f"no {FILE_NAME} here, and neither --config nor {FILE_VARIABLE} names one", code=Code.PATH),
            "`sheyin init` writes one to begin with.",
        )
    document = config_file.read(path, environment)
    return _build(document, path.resolve().parent, path, environment, files=files)


def of(
    document: Mapping[str, Any], folder: Path, environment: Mapping[str, str] | None = None, *, files: bool = True
) -> Config:
    """A configuration from values as TOML would give them: for the demo and tests. Raises Refused as ``load``."""
    return _build(dict(document), folder, None, {} if environment is None else environment, files=files)


def _build(
    document: dict[str, Any], folder: Path, path: Path | None, environment: Mapping[str, str], *, files: bool
) -> Config:
    found = adapters.discover()
    file = config_file.decode(document, folder, found, name=path.name if path else "", files=files)
    return Config(file, folder, path=path, environment=environment, adapters_by_code=found)
