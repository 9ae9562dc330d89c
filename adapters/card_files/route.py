"""How card files travel: as files in folders, on a disk or by SFTP. They have no seal: the wire is authenticated instead."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.standards import filedrop
from gateway.core.bank import WireKind
from gateway.core.route import Routes

_FILES = filedrop.routes(None)

ROUTES: Mapping[WireKind, Routes] = {WireKind.FOLDER: _FILES, WireKind.SFTP: _FILES}
