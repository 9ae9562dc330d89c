"""The month as files: messages made beforehand for a benchmark, and runs for trials of ``sheyin submit``.

A run as JSONL is one instruction a line, in the shape of the contract; as CSV it has the columns of ``CSV_COLUMNS``, UTF-8,
amounts in fen. The header (``run.submitted``) stands beside either as ``<name>.run.json``.

A message file holds, for each message, two bytes of id length, four of body length (big-endian), the id, the body.
"""

from __future__ import annotations

import csv
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.core.errors import Code, Malformed
from gateway.core.ports import Message
from gateway.sandbox.month import Month

CSV_COLUMNS = (
    *("id", "person_name", "person_id_type", "person_id_number", "bank", "account", "amount_fen"),
    *("payee_name", "payee_id_type", "payee_id_number", "relation", "item", "sequence", "district"),
)
_LENGTHS = struct.Struct(">HI")


def write_chunks(month: Month, path: Path) -> int:
    """Write the header and every chunk as messages; returns how many bytes. Reading them back costs next to nothing."""
    with path.open("wb") as file:
        for message in month.messages():
            message_id = message.message_id.encode("ascii")
            file.write(_LENGTHS.pack(len(message_id), len(message.body)))
            file.write(message_id)
            file.write(message.body)
        return file.tell()


def read_chunks(path: Path) -> Iterator[Message]:
    """The messages in their order, one in memory at a time. Raises Malformed TRUNCATED where the file ends too soon."""
    with path.open("rb") as file:
        while lengths := file.read(_LENGTHS.size):
            if len(lengths) == _LENGTHS.size:
                id_length, body_length = _LENGTHS.unpack(lengths)
                message_id, body = file.read(id_length), file.read(body_length)
                if len(message_id) == id_length and len(body) == body_length:
                    yield Message(message_id=message_id.decode("ascii"), body=body)
                    continue
            raise Malformed("the message file ends inside a message", code=Code.TRUNCATED, where=path.name)


def write_jsonl(month: Month, path: Path) -> Path:
    """Write the run as JSONL; returns where its header is."""
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        for chunk in month.chunks():
            file.write(encoder.encode_lines(chunk.instructions))
    return _write_header(month, path)


def write_csv(month: Month, path: Path) -> Path:
    """Write the run as CSV; returns where its header is."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for order in month.instructions():
            person, payee = order.person, order.payee
            other = (payee.name, payee.id_type.value, payee.id_number) if payee else ("", "", "")
            head = (order.id, person.name, person.id_type.value, person.id_number, order.bank, order.account)
            rest = (order.relation.value, order.item, order.sequence, order.district)
            writer.writerow((*head, order.amount, *other, *rest))
    return _write_header(month, path)


def _write_header(month: Month, path: Path) -> Path:
    header = path.with_suffix(".run.json")
    header.write_bytes(msgspec.json.format(msgspec.json.encode(month.header)) + b"\n")
    return header
