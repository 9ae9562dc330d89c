"""How this format travels: as files in a folder or over SFTP, or over a pair of AMQP queues.

pain.001 has no status inquiry of its own in the set that banks take, so on a folder we look whether the file lies there,
and on a queue only the bank's pain.002 can clear a doubt.
"""

from __future__ import annotations

from adapters.iso20022.layout import SEAL
from adapters.standards import filedrop, queue
from gateway.core.bank import WireKind

ROUTES = {
    WireKind.FOLDER: filedrop.routes(SEAL),
    WireKind.SFTP: filedrop.routes(SEAL),
    WireKind.AMQP: queue.routes(SEAL),
}
