"""How a batch reaches the bank and how its results come back: commands over HTTP to the bank's client, files in the folder it shares.

Batch: the file is laid into ``up/`` → FILE01 (take it) → FILE02 (until it is at the bank) → **KHKF01**, the only request from which money
moves. Results: KHKF02 until it is worked off → FILE03 (fetch the return file) → FILE02 → the file in ``down/``.
Single: **KHKF03**, then KHKF04. The batch's number is our reference, a payment's is its own: used twice, the bank refuses the second.

Everything before KHKF01 may be done again: a file of the same name replaces the one that was laid there. What the answer to KHKF01 does
not say plainly is InDoubt; KHKF02 is then asked, and only its plain word ends the doubt. No answer of the bank's says "no such batch" in a
way that is public, so ``NotFound`` is never claimed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from datetime import timedelta

from adapters.pingan import packet
from adapters.pingan.codes import DONE, FAILED
from adapters.pingan.layout import (
    BATCH,
    BATCH_STATE,
    CHARSET,
    PAYMENT,
    SINGLE,
    SINGLE_STATE,
    Options,
    first_line,
)
from adapters.pingan.packet import Packet
from gateway.codec.lines import text_lines
from gateway.core.adapter import format_options
from gateway.core.bank import WireKind
from gateway.core.errors import Code, InDoubt, Malformed, NotSent
from gateway.core.route import (
    Answer,
    Asked,
    Context,
    Done,
    Fetched,
    Found,
    Get,
    NotFound,
    Post,
    Put,
    Read,
    Route,
    Routes,
    SealedDocument,
    Sent,
    Stat,
    Take,
    Wait,
)

UP, DOWN = "up", "down"
UPLOAD, PROGRESS, DOWNLOAD = "FILE01", "FILE02", "FILE03"
#: The states of a file that has arrived, on either side.
ARRIVED = ("F0", "E7")
TRIES, WAIT_S = 10, 2  # well within a lane's lease: what takes longer is begun again later
FIRST_LINE_BYTES = 128
#: One payment of a Document has at most so many bytes, its first line included.
SINGLE_BYTES_MAX = 1024
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,98}[A-Za-z0-9]", re.ASCII)


class Unanswered(NotSent):
    """What came back is no answer about this Document; what the bank says of another may be one."""


class Talk:
    """The commands of one conversation: each with a serial number of its own."""

    def __init__(self, context: Context, reference: str) -> None:
        self.options = format_options(context.bank, Options)
        self._bank, self._now = context.bank, context.now
        self._mark = f"{zlib.crc32(reference.encode()) & 0xFFFF:04x}"
        self._said = 0

    def serial(self) -> str:
        """The next one: time, a mark of the Document, number in this conversation."""
        self._said += 1
        return f"{self._now:%Y%m%d%H%M%S}{self._mark}{self._said % 100:02}"

    def post(self, transaction: str, leaves: Mapping[str, str], *, serial: str = "", once: str = "") -> Post:
        """A command; with ``once`` the one from which money moves. Leaves without a value are left out."""
        plain = self._bank.wire_options.get("plain") is True
        body = packet.write(
            transaction,
            {name: text for name, text in leaves.items() if text},
            charset=self.options.encoding,
            protocol="02" if plain else "03",
            company=self._bank.customer,
            operator=self.options.operator,
            serial=serial or self.serial(),
            now=self._now,
        )
        _, name = packet.CHARSETS[self.options.encoding]
        return Post("", body, f"text/xml; charset={name}", once=once, final=bool(once))

    def ask(self, transaction: str, leaves: Mapping[str, str], *, serial: str = "") -> Route[tuple[Packet, bytes]]:
        """The reply to a command that moves nothing. Raises NotSent for one that is no reply, or that says no."""
        answer = yield self.post(transaction, leaves, serial=serial)
        found = understood(answer, transaction)
        if found is None:
            raise Unanswered(f"{transaction}: no reply of the bank's ({answer.status})")
        if not found.ok:
            raise Unanswered(f"{transaction}: {_words(found)}")
        return found, answer.body


def understood(answer: Answer, transaction: str) -> Packet | None:
    """The reply, if it is one to this command."""
    if answer.status != 200:
        return None
    try:
        found = packet.read(answer.body)
    except Malformed:
        return None
    return found if found.transaction == transaction and found.head["service"] == packet.REPLY else None


def _words(found: Packet) -> str:
    return f"{found.head['code']} {found.head['text']}".strip()[:200]


def _mine(found: Packet, name: str, ours: str) -> bool:
    return found.leaf(name) in ("", ours)


# ------------------------------------------------------------------------------------------------------------- sending


def submit(document: SealedDocument, context: Context) -> Route[Sent]:
    """Send once. Raises NotSent until the command that pays, InDoubt for whatever its answer does not say plainly."""
    talk = Talk(context, document.reference)
    if talk.options.mode == "single":
        order, leaves = yield from _payment(document)
        command, once = SINGLE, order
        leaves |= {"BusiType": talk.options.busi_type, "CorpId": talk.options.corp_id}
    else:
        command, once = BATCH, document.reference
        leaves = yield from _uploaded(document, talk)
    answer = yield talk.post(command, leaves, once=once)
    found = understood(answer, command)
    if found is None:
        raise InDoubt(f"{command}: no reply of the bank's ({answer.status})", where=document.reference)
    if not found.ok:
        raise InDoubt(f"{command}: {_words(found)}", where=document.reference)
    if not _mine(found, "BatchNo" if command == BATCH else "OrderNumber", once):
        raise InDoubt(f"{command}: the reply is about another one", where=document.reference)
    yield Take(f"{document.reference}.{command}", answer.body, document.reference)
    return Sent(document.digest)


def _uploaded(document: SealedDocument, talk: Talk) -> Route[dict[str, str]]:
    """Lay the file down and see it to the bank; what KHKF01 then says of it."""
    account, count, total = first_line((yield Read(document, 0, FIRST_LINE_BYTES)))
    yield Put(f"{UP}/{document.name}", document)
    yield Stat(f"{UP}/{document.name}", document.size)
    serial = talk.serial()
    file = {"TradeSn": serial, "FileName": document.name, "FilePath": talk.options.upload}
    yield from talk.ask(UPLOAD, file, serial=serial)
    arrived = yield from _arrived(talk, serial)
    if arrived is None:
        raise NotSent("the bank's client has not brought the file to the bank", where=document.name)
    return {
        "BatchNo": document.reference,
        "AcctNo": account,
        "BusiType": talk.options.busi_type,
        "CorpId": talk.options.corp_id,
        "TotalNum": count,
        "TotalAmount": total,
        "FileName": document.name,
        "RandomPwd": arrived.leaf("RandomPwd"),
        "HashData": arrived.leaf("HashData"),
        "SignData": arrived.leaf("SignData"),
    }


def _arrived(talk: Talk, serial: str, tries: int = TRIES) -> Route[Packet | None]:
    """What the client says of a transfer once it is done; None if it takes too long."""
    for nth in range(tries):
        if nth:
            yield Wait(WAIT_S)
        found, _ = yield from talk.ask(PROGRESS, {"TradeSn": serial})
        if found.leaf("Code") in ARRIVED:
            return found
    return None


def _payment(document: SealedDocument) -> Route[tuple[str, dict[str, str]]]:
    """The number of a Document's only payment, and what KHKF03 says of it."""
    first, line = text_lines((yield Read(document, 0, SINGLE_BYTES_MAX)), CHARSET, 0)
    order, card, name, _, _, bank, amount, remark, bank_code, mobile = PAYMENT.split(line, 2)
    leaves = {
        "OrderNumber": order,
        "AcctNo": first_line(first.encode(CHARSET))[0],
        "CcyCode": "RMB",
        "TranAmount": amount,
        "InAcctNo": card,
        "InAcctName": name,
        "InAcctBankName": bank,
        "InAcctBankNode": bank_code,
        "Mobile": mobile,
        "Remark": remark,
    }
    return order, leaves


# -------------------------------------------------------------------------------------------------------------- asking


def inquire(document: SealedDocument, context: Context) -> Route[Found | NotFound | Asked]:
    """Ask about a Document in doubt; the answer goes through the door. Raises NotSent where the bank does not say that it has it."""
    talk = Talk(context, document.reference)
    found, body = yield from _state(document, talk)
    command = found.transaction
    if not (found.leaf("BatchStt") or found.leaf("Status")):
        raise NotSent(f"{command}: the reply tells no state", where=document.reference)
    name = f"{document.reference}.{command}.{context.now:%Y%m%d%H%M%S}"  # its own: the same word again may end another doubt
    yield Take(name, body, document.reference)
    return Asked()


def _state(document: SealedDocument, talk: Talk) -> Route[tuple[Packet, bytes]]:
    """The bank's word on a batch, or on a single payment. Raises NotSent for none, or for one on another."""
    if talk.options.mode == "single":
        ours, leaves = yield from _payment(document)
        command, number = SINGLE_STATE, "OrderNumber"
        leaves = {"OrderNumber": ours, "AcctNo": leaves["AcctNo"]}
    else:
        account, _, _ = first_line((yield Read(document, 0, FIRST_LINE_BYTES)))
        command, number, ours = BATCH_STATE, "BatchNo", document.reference
        leaves = {"BatchNo": ours, "AcctNo": account}
    found, body = yield from talk.ask(command, leaves)
    if not _mine(found, number, ours):
        raise Unanswered(f"{command}: the reply is about another one", where=document.reference)
    return found, body


def fetch(context: Context) -> Route[Fetched]:
    """Ask about every Document whose lines are not all told; bring in what there is of it. Raises NotSent where nothing else came of it."""
    options = format_options(context.bank, Options)
    waited = [
        one.document for one in context.awaited if context.now - one.sent >= timedelta(seconds=options.first_ask_s)
    ]
    count, declined = 0, None
    for document in waited:
        try:
            count += yield from _told(document, context)
        except Unanswered as no:  # what is not answered about one keeps no other from being asked about
            declined = declined or no
    if declined and not count:
        raise declined
    return Fetched(count, options.ask_every_s)


def _told(document: SealedDocument, context: Context) -> Route[int]:
    """Ask about one Document: 1 where something of it went through the door."""
    talk = Talk(context, document.reference)
    found, body = yield from _state(document, talk)
    state = found.leaf("BatchStt") or found.leaf("Status")
    if found.transaction == BATCH_STATE and state == DONE:
        return (yield from _returned(document, talk, found))
    if state in (DONE, FAILED):
        return int(bool((yield Take(f"{document.reference}.{found.transaction}", body, document.reference))))
    return 0


def _returned(document: SealedDocument, talk: Talk, done: Packet) -> Route[int]:
    """Fetch the return file and take it in; 0 where it is not there yet."""
    name = done.leaf("FileName")
    if not _FILE.fullmatch(name):
        raise Unanswered("the return file has a name that is not taken", code=Code.PATH, where=document.reference)
    serial = talk.serial()
    file = {
        "TradeSn": serial,
        "FileName": name,
        "FilePath": talk.options.download,
        "RandomPwd": done.leaf("RandomPwd"),
        "HashData": done.leaf("HashData"),
        "SignData": done.leaf("SignData"),
    }
    yield from talk.ask(DOWNLOAD, file, serial=serial)
    if (yield from _arrived(talk, serial)) is None:
        return 0
    path = f"{DOWN}/{name}"
    if (yield Stat(path)) is None:
        return 0
    if not (yield Get(path, name, about=document.reference)):
        return 0
    yield Done(path)
    return 1


ROUTES: Mapping[WireKind, Routes] = {
    WireKind.HTTPS: Routes(submit=submit, inquire=inquire, fetch=fetch, asks=True),
}
