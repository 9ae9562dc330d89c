"""How standard files travel: as files in folders, on a disk or by SFTP, or as messages in a pair of queues.

Both ways are shared with other formats that travel as files. What became of a Document is asked by an inquiry file
(INQ), which travels like any other and is answered by the bank in its own time.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.standards import filedrop, queue
from gateway.core.bank import Detached, WireKind
from gateway.core.route import Routes

SEAL = Detached(suffix=".p7s")
_FILES = filedrop.routes(SEAL)

ROUTES: Mapping[WireKind, Routes] = {
    WireKind.FOLDER: _FILES,
    WireKind.SFTP: _FILES,
    WireKind.AMQP: queue.routes(SEAL),
}
