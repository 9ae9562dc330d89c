"""Secrets by name: never in the configuration, on a command line or in a log (ASVS 13.3.1, CSCF 5.4).

A credential named ``bank-a-client`` is looked for, in this order:

1. the file ``$CREDENTIALS_DIRECTORY/bank-a-client`` (systemd ``LoadCredential=``);
2. the environment variable ``SHEYIN_CREDENTIAL_BANK_A_CLIENT``;
3. the file ``bank-a-client`` in the folder that the configuration names (the development PKI, a mounted secret).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from gateway.core.errors import Code, Refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
BYTES_MAX = 64 * 1024


class Credentials:
    """Where secrets come from; holds none itself, so printing it shows none."""

    def __init__(self, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = os.environ if environment is None else environment

    def get(self, name: str) -> bytes:
        """The credential, one last newline taken off. Raises Refused: AUTH if it is nowhere, PATH for such a name."""
        if not _NAME.fullmatch(name):
            raise Refused(f"not a credential's name: {name[:80]!r}", code=Code.PATH)
        found = self._find(name)
        if found is None:
            raise Refused(f"no credential is called {name!r}", code=Code.AUTH)
        return found.removesuffix(b"\n").removesuffix(b"\r")

    def text(self, name: str) -> str:
        """The credential as UTF-8 text."""
        return self.get(name).decode()

    def _find(self, name: str) -> bytes | None:
        given = self._environment.get("CREDENTIALS_DIRECTORY")
        if given and (Path(given) / name).is_file():
            return _read(Path(given) / name)
        variable = self._environment.get("SHEYIN_CREDENTIAL_" + re.sub(r"[^A-Z0-9]", "_", name.upper()))
        if variable is not None:
            return variable.encode()
        if self._folder is not None and (self._folder / name).is_file():
            return _read(self._folder / name)
        return None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(BYTES_MAX + 1)
    if len(content) > BYTES_MAX:
        raise Refused(f"{path} is too large for a credential", code=Code.SIZE)
    return content
