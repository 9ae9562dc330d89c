"""How this format travels: as files in a folder or over SFTP, or over a pair of AMQP queues.

Between banks it travels over IBM MQ; what a bank or clearing centre gives a bureau is a matter of the agreement. There is no status inquiry
among the messages that are public, so on a folder we look whether the file lies there, and on a queue only the other side's 900 or 383 can
clear a doubt.
"""

from __future__ import annotations

from adapters.cnaps2.layout import SEAL
from adapters.standards import filedrop, queue
from gateway.core.bank import WireKind

ROUTES = {
    WireKind.FOLDER: filedrop.routes(SEAL),
    WireKind.SFTP: filedrop.routes(SEAL),
    WireKind.AMQP: queue.routes(SEAL),
}
