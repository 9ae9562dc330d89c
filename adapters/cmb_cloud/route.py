"""How a Document reaches the CDC cloud, and how it is asked about.

Out: each line of the payload in a fresh envelope; the number that the bank gives to the first part, and where the next begins, are the cursor.
The reply to the last part is the receipt. Any reply but a signed SUC0000 leaves open what the bank did, so it is a doubt: its own rule is to ask
before anything is sent again.

Asking, no sooner than five minutes after sending and at most every two seconds: BB6BPDQY or BB1QRYBD by our reference, page by page. In doubt the
bank's list says how far it has come: nothing under the reference, and it has nothing; a list that ends before the part in question, and that part
did not arrive; one that holds it, and the cursor moves on. Then the rest may leave, after the Agreement's window, as it was written.

The refunds of agency payments (BB6RFDQY) are left out: what its reply holds is not published.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import msgspec

from adapters.cmb_cloud import envelope
from adapters.cmb_cloud.codes import DONE, RECEIVED
from adapters.cmb_cloud.layout import AGENCY, ALLOW, BATCH, CRTSQN_SLOT, PER_PART, REQNBR_SLOT, Options, options
from adapters.cmb_cloud.reading import AGENCY_QUERY, BATCH_QUERY, LIST_QUERY, Reply, reply
from gateway.core.bank import DocKind, WireKind
from gateway.core.errors import InDoubt, Malformed, NotSent
from gateway.core.route import (
    Answer,
    Asked,
    Context,
    Encrypt,
    Fetched,
    Found,
    NotFound,
    Open,
    Post,
    Read,
    Route,
    Routes,
    Save,
    SealedDocument,
    Sent,
    Sign,
    Take,
    Verify,
    Wait,
)

READ_BYTES = 512 * 1024
PAGES_MAX = 400
#: Which question belongs to what was sent.
_QUERY = {AGENCY: AGENCY_QUERY, BATCH: BATCH_QUERY, ALLOW: LIST_QUERY}
_TAKING = "OPR"  # 数据接收中


class Cursor(NamedTuple):
    """How far a Document has come: ``2:153422:N1234567`` says that the second part begins at byte 153422 of the payload."""

    part: int = 1
    offset: int = 0
    number: str = ""  # the bank's, of the batch

    @classmethod
    def of(cls, text: str) -> Cursor:
        """Back from its text."""
        if not text:
            return cls()
        part, offset, number = text.split(":", 2)
        return cls(int(part), int(offset), number)

    def __str__(self) -> str:
        return f"{self.part}:{self.offset}:{self.number}"

    def after(self, part: bytes, number: str) -> Cursor:
        """Behind this part."""
        return Cursor(self.part + 1, self.offset + len(part), number)


class Unanswered(NotSent):
    """The server does not say: a question may be asked again at any time."""


class Page(NamedTuple):
    """One page of an answer, as it was opened."""

    text: bytes
    said: Reply


# --------------------------------------------------------------------------------------------------------------------- out


def submit(document: SealedDocument, context: Context) -> Route[Sent]:
    """Deliver what the cursor says is left. Raises InDoubt for every reply that does not say that the part was taken."""
    told = options(context.bank)
    at = Cursor.of(context.cursor)
    numbers = (yield from _numbers(document, context, told)) if document.kind is DocKind.WHITELIST else {}
    while True:
        part = yield from _part(document, at.offset)
        last = at.offset + len(part) >= document.size
        text = part[:-1].replace(REQNBR_SLOT, b'"reqnbr":"%s"' % at.number.encode(), 1) if at.number else part[:-1]
        if document.kind is DocKind.WHITELIST:
            text = _numbered(text, numbers)
        once = f"{document.reference}-{at.part}"
        mark = f"{document.reference}{at.part:03d}"
        answer = yield from _posted(text, context, told, mark, once)
        page = yield from _proven(answer, context, told, once)
        if page.said.head.funcode != envelope.funcode_of(part[:-1]) or not _answers(page, context, mark):
            raise InDoubt("what came back answers another request", where=f"part {at.part}")
        number = _taken(page, at, document, last=last)
        at = at.after(part, number)
        if last:
            break
        yield Save(str(at))
    yield Take(_name(page, document, context, 0), page.text, document.reference)
    return Sent(document.digest)


def _taken(page: Page, at: Cursor, document: SealedDocument, *, last: bool) -> str:
    """The batch's number, where the bank gives one. Raises InDoubt where it did not take the part."""
    head = page.said.head
    if head.resultcode != RECEIVED:
        raise InDoubt(f"the bank says {head.resultcode} {head.resultmsg[:120]}", where=f"part {at.part}")
    try:
        told = page.said.first("bb1paybhz1" if head.funcode == BATCH else "bb6cdcbhz1")
    except Malformed as error:
        raise InDoubt(error.what, where=f"part {at.part}") from error
    if told.get("bthNbr", document.reference) != document.reference:
        raise InDoubt("the bank answers about another batch", where=f"part {at.part}")
    if head.funcode != AGENCY:
        return ""
    number = told.get("reqnbr", "")
    if (not number and not last) or (at.number and number not in ("", at.number)):
        what = f"part {at.part} of {document.reference} got the number {number!r}, the batch has {at.number!r}"
        raise InDoubt(what)
    return at.number or number


def _part(document: SealedDocument, offset: int) -> Route[bytes]:
    """The line of the payload that begins there, its LF included."""
    found = bytearray()
    while True:
        piece = yield Read(document, offset + len(found), READ_BYTES)
        end = piece.find(b"\n")
        found += piece if end < 0 else piece[: end + 1]
        if end >= 0:
            return bytes(found)
        if not piece:
            raise NotSent(f"{document.reference} has no part at byte {offset}")


def _posted(part: bytes, context: Context, told: Options, mark: str, once: str = "") -> Route[Answer]:
    """One request in a fresh envelope; ``once`` marks one that may move money."""
    text = envelope.request(part, told.userid, context.now, mark)
    padded = envelope.padded_id(told.userid)
    if context.bank.sealed:
        signature = yield Sign(text, envelope.SIGN, padded)
        text = envelope.filled(text, signature)
    hidden = yield Encrypt(text, envelope.HIDE, told.secret, padded.encode())
    body = envelope.form(told.userid, envelope.funcode_of(part), hidden)
    answer: Answer = yield Post("", body, envelope.CONTENT_TYPE, once=once, final=bool(once))
    return answer


def _opened(answer: Answer, told: Options, doubt: type[InDoubt] | type[NotSent]) -> Route[bytes]:
    """The reply in plain. Raises ``doubt`` for the server's errors, which are plain text under any status."""
    try:
        hidden = envelope.hidden_in(answer.body)
    except Malformed as error:
        raise doubt(f"no answer: {error.what}") from error
    text: bytes = yield Open(hidden, envelope.HIDE, told.secret, envelope.padded_id(told.userid).encode())
    return text


def _proven(answer: Answer, context: Context, told: Options, once: str) -> Route[Page]:
    """The reply to something that may move money: opened, its signature checked, read. Raises InDoubt for anything else."""
    text = yield from _opened(answer, told, InDoubt)
    try:
        covered, signature = envelope.split(text) if context.bank.sealed else (text, b"")
        page = Page(text, reply(covered))
    except Malformed as error:
        raise InDoubt(f"no answer to {once}: {error.what}") from error
    if context.bank.sealed:
        yield Verify(covered, signature, envelope.SIGN, envelope.padded_id(told.userid))
    return page


def _numbers(document: SealedDocument, context: Context, told: Options) -> Route[dict[str, bytes]]:
    """The bank's own number of each account on its allow-list, which an amendment must name."""
    numbers = {}
    for page in (yield from _pages(document, context, told, LIST_QUERY, proven=True)):
        for entry in page.said.body.get("BAKRVLIN2Y") or []:
            numbers[str(entry.get("yCrtAcc", "")).strip()] = str(entry.get("yCrtSqn", "")).strip().encode()
    return numbers


def _numbered(part: bytes, numbers: dict[str, bytes]) -> bytes:
    """The part with the bank's numbers in the slots of amendments and removals."""
    entries = msgspec.json.decode(part)["body"]["BAKOPRRVLX1"]
    pieces = part.split(CRTSQN_SLOT)
    filled = [pieces[0]]
    for entry, piece in zip(entries, pieces[1:], strict=True):
        number = numbers.get(entry["crtAcc"], b"") if entry["oprTyp"] != "A" else b""
        if not number and entry["oprTyp"] != "A":
            raise NotSent("an entry to amend or remove is not on the bank's list", where=entry["rsv30z"])
        filled.append(b'"crtSqn":"%s"%s' % (number, piece))
    return b"".join(filled)


# ------------------------------------------------------------------------------------------------------------------ asking


def fetch(context: Context) -> Route[Fetched]:
    """Ask about every Document whose lines the bank has not all told, and take in what it says."""
    if not context.awaited:
        return Fetched(0)
    told = options(context.bank)
    count, asked, wait_s = 0, False, int(told.ask_every_s)
    unanswered: list[Unanswered] = []
    for awaited in context.awaited:
        due_s = int((awaited.sent + timedelta(seconds=int(told.first_ask_s)) - context.now).total_seconds())
        if due_s > 0:
            wait_s = min(wait_s, due_s)
            continue
        if asked:
            yield Wait(int(told.pause_s))
        asked = True
        query = yield from _query(awaited.document)
        try:
            pages = yield from _pages(awaited.document, context, told, query)
        except Unanswered as error:  # one that the bank does not answer keeps no other from being asked about
            unanswered.append(error)
            continue
        if any(_tells(page) for page in pages):
            count += yield from _take(pages, awaited.document, context)
    if unanswered and len(unanswered) == len(context.awaited):
        raise unanswered[0]
    return Fetched(count, max(1, wait_s))


def inquire(document: SealedDocument, context: Context) -> Route[Found | NotFound | Asked]:
    """What the bank has of a Document in doubt. Raises NotSent where its answer does not say, InDoubt where it contradicts what it said before."""
    told = options(context.bank)
    at = Cursor.of(context.cursor)
    part = yield from _part(document, at.offset)
    query = _QUERY[envelope.funcode_of(part[:-1])]
    pages = yield from _pages(document, context, told, query, proven=True)
    if query == LIST_QUERY:
        yield from _take(pages, document, context)
        return Asked()
    if not _about(pages, query, document, at):
        raise InDoubt(f"asked about {document.reference}, the bank tells of another batch")
    marks, whole = _held(pages, query, _declared(part))
    if whole:
        yield from _take(pages, document, context)
        return Asked()
    if not marks and at.part > 1:
        raise InDoubt(f"the bank took {at.part - 1} parts of {document.reference} and now knows of none")
    if not marks and any(page.said.first("bb6bpdqyz1") for page in pages):
        raise NotSent("the bank has begun to take the batch in and shows no payments: ask again")
    mine, before = _marks(part), (at.part - 1) * PER_PART
    if len(marks) == before + len(mine) and mine <= marks:  # it did arrive, only its reply was lost
        number = at.number or pages[0].said.first("bb6bpdqyz1").get("reqnbr", "")
        if query == AGENCY_QUERY and not number:
            raise InDoubt(f"the bank tells no number of {document.reference}: the next part would open another batch")
        yield Save(str(at.after(part, number)))
    elif len(marks) != before or marks & mine:
        raise InDoubt(f"the bank lists {len(marks)} payments: neither those before part {at.part} nor those and it")
    return NotFound()


def _about(pages: list[Page], query: str, document: SealedDocument, at: Cursor) -> bool:
    """Whether all that they name is our batch."""
    if query == BATCH_QUERY:
        records = [record for page in pages for record in page.said.body.get("bb1qrybdz1") or []]
        return all(record.get("bthNbr", "") in ("", document.reference) for record in records)
    batches = [batch for page in pages for batch in page.said.body.get("bb6bpdqyz1") or []]
    named = {batch.get("yurref", "") for batch in batches} | {document.reference}
    numbers = {batch.get("reqnbr", "") for batch in batches} | {at.number}
    return len(named - {""}) == 1 and len(numbers - {""}) <= 1


def _declared(part: bytes) -> int:
    body = msgspec.json.decode(part)["body"]
    return int(body["bb6cdcbhx1"][0]["ttlcnt"] if "bb6cdcbhx1" in body else body["bb1bmdbhx1"][0]["dtlNbr"])


def _marks(part: bytes) -> set[str]:
    """What tells the payments of a part apart within their batch."""
    body = msgspec.json.decode(part)["body"]
    if "bb6cdcdlx1" in body:
        return {record["trxseq"] for record in body["bb6cdcdlx1"]}
    return {record["yurRef"] for record in body["bb1paybhx1"]}


def _held(pages: list[Page], query: str, declared: int) -> tuple[set[str], bool]:
    """The payments that the bank lists, and whether it has the whole Document."""
    records, mark = ("bb6bpdqyz2", "trxseq") if query == AGENCY_QUERY else ("bb1qrybdz1", "yurRef")
    marks = {str(record.get(mark, "")) for page in pages for record in page.said.body.get(records) or []}
    state = pages[0].said.first("bb6bpdqyz1").get("reqsta", _TAKING)
    return marks, state != _TAKING or len(marks) >= declared


def _query(document: SealedDocument) -> Route[str]:
    """The question that belongs to what was sent: a Bank's options may have changed since."""
    part = yield from _part(document, 0)
    return _QUERY[envelope.funcode_of(part[:-1])]


def _pages(
    document: SealedDocument, context: Context, told: Options, query: str, *, proven: bool = False
) -> Route[list[Page]]:
    """Every page of the answer to one question. ``proven``: something is decided by it here, so its signature is checked here; what is only
    taken in is checked behind the door. Raises Unanswered."""
    pages: list[Page] = []
    more: dict[str, str] = {}
    checked = proven and context.bank.sealed
    while True:
        if pages:
            yield Wait(int(told.pause_s))
        name, first = _CONTINUES[query], _question(query, document, told)
        part = msgspec.json.encode({"body": {name: [{**first, **more}]}, "funcode": query}, order="sorted")
        mark = f"{document.reference}Q{len(pages):03d}"
        answer = yield from _posted(part, context, told, mark)
        text = yield from _opened(answer, told, Unanswered)
        try:
            covered, signature = envelope.split(text) if checked else (text, b"")
            page = Page(text, reply(covered))
            found = page.said.first(name)
        except Malformed as error:
            raise Unanswered(f"no answer about {document.reference}: {error.what}") from error
        if checked:
            yield Verify(covered, signature, envelope.SIGN, envelope.padded_id(told.userid))
        head = page.said.head
        if head.resultcode != RECEIVED or head.funcode != query or not _answers(page, context, mark):
            raise Unanswered(
                f"asked about {document.reference}, the bank says {head.resultcode} {head.resultmsg[:120]}"
            )
        pages.append(page)
        came_from, more = more, {key: value for key, value in found.items() if key in _KEYS}
        if not more:
            return pages
        if more == came_from or len(pages) == PAGES_MAX:  # a list without its end says of nothing that it is not there
            raise Unanswered(f"the list about {document.reference} has no end")


def _answers(page: Page, context: Context, mark: str) -> bool:
    """Whether it names the request that we made, if it names one."""
    return page.said.head.reqid in ("", envelope.reqid(context.now, mark))


#: The record that, given back with values, asks for the next page, and which of its values do so.
_CONTINUES = {AGENCY_QUERY: "bb6bpdqyy1", BATCH_QUERY: "bb1qrybdy1", LIST_QUERY: "BAKQRYRVLY"}
_KEYS = {"bthnbr", "trxseq", "histag", "ctnKey", "yCrtSqn"}


def _question(query: str, document: SealedDocument, told: Options) -> dict[str, str]:
    if query == AGENCY_QUERY:
        return {"buscod": told.buscod, "yurref": document.reference}
    return {"bthNbr": document.reference} if query == BATCH_QUERY else {}


def _tells(page: Page) -> bool:
    """Whether it says more than that the bank is at work."""
    body = page.said.body
    if page.said.head.funcode == AGENCY_QUERY:
        return any(batch.get("reqsta") == DONE for batch in body.get("bb6bpdqyz1") or [])
    if page.said.head.funcode == BATCH_QUERY:
        return any(record.get("reqSts") in (DONE, "WRF") for record in body.get("bb1qrybdz1") or [])
    return True


def _take(pages: list[Page], document: SealedDocument, context: Context) -> Route[int]:
    count = 0
    for nth, page in enumerate(pages):
        count += yield Take(_name(page, document, context, nth), page.text, document.reference)
    return count


def _name(page: Page, document: SealedDocument, context: Context, nth: int) -> str:
    return f"{page.said.head.funcode}_{document.reference}_{context.now:%Y%m%d%H%M%S}_{nth:03d}.json"


ROUTES = {WireKind.HTTPS: Routes(submit=submit, inquire=inquire, fetch=fetch, asks=True)}
