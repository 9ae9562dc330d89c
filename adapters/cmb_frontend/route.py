"""The conversation with the front-end machine: parts in order, each under the number that the bank gave to the first; then questions.

Every request is one POST to the machine, which logs in, signs and encrypts by itself. A batch leaves in parts; the cursor is ``<REQNBR>/<parts
that the bank confirmed>``. What an answer proves: RETCOD 0 with a number confirms the part; the codes of ``SURELY_NOT_SENT`` that nothing was
executed; all else leaves a doubt.

A doubt is cleared by questions alone. Where the bank has the batch and is not receiving any more, its answer goes through the door. Where it
is still receiving (REQSTA OPR), it is asked which payments it holds: if those are the whole parts from the first on, the rest is not there and
the route goes on from that place; anything else stays in doubt. Where no day's list has our reference, nothing of it is there.

Results are asked for by reference until the batch is finished (FIN), then page by page; returns by account.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from adapters.cmb_frontend import reading
from adapters.cmb_frontend.codes import FINISHED, OK, RECEIVING, SURELY_NOT_SENT, repeated
from adapters.cmb_frontend.layout import SLOT, ask_batch, ask_details, ask_returns, options
from adapters.cmb_frontend.reading import Component, Texts
from gateway.core.bank import WireKind
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import InDoubt, Malformed, NotSent
from gateway.core.route import (
    Answer,
    Asked,
    Context,
    Fetched,
    Found,
    NotFound,
    Post,
    Read,
    Route,
    Routes,
    Save,
    SealedDocument,
    Sent,
    Take,
    Wait,
)

PATH = "/"
CONTENT_TYPE = "text/xml; charset=GBK"
PAGES_MAX = 200
RETURN_DAYS = 6
_HISTORY_DAYS, _WEEK_DAYS = 89, 6
_READ_BYTES = 256 * 1024
_OK_STATUS = 200
_NUMBER = re.compile("[0-9A-Za-z]{1,10}", re.ASCII)
_CURSOR = re.compile("([0-9A-Za-z]{1,10})/([0-9]{1,3})", re.ASCII)
_MADE = re.compile("([0-9]{8})[A-Z]?[0-9]{5}", re.ASCII)
_DECLARED = re.compile(rb"<(TTLNUM|TTLCNT|CURCNT)>([0-9]{1,8})<")
_REFUSED = frozenset({"R", "D"})


class _Unanswered(NotSent):
    """What came back is no answer to the question."""


# ---------------------------------------------------------------------------------------------------------------- sending


def submit(document: SealedDocument, ctx: Context) -> Route[Sent]:
    """Each part once, from the cursor on. Raises NotSent, InDoubt."""
    number, done = _cursor(ctx.cursor)
    message, after = yield from _message(document, 0)
    parts = _declared(message)["TTLNUM"]
    if done >= parts:  # all of it was confirmed, and the bank says since that it has nothing: it begins again
        number, done = "", 0
    for part in range(1, parts + 1):
        if part > 1:
            message, after = yield from _message(document, after)
        if part <= done:
            continue
        if number:
            message = message.replace(SLOT, b"<REQNBR>%s</REQNBR>" % number.encode(), 1)
        answer = yield Post(PATH, message, CONTENT_TYPE, once=f"{document.reference}/{part}")
        number = _confirmed(answer, number, left=part > done + 1)
        if part == parts and not (yield Take(_name("NTAGCAPY", document), answer.body, document.reference)):
            raise InDoubt("the bank's answer could not be kept")
        yield Save(f"{number}/{part}")
    return Sent(document.digest)


def _confirmed(answer: Answer, number: str, *, left: bool) -> str:
    """The bank's number of the batch. Raises NotSent, InDoubt: what the answer proves about this sending, of which parts may have left."""
    try:
        info, components = reading.opened(answer.body)
    except Malformed as error:
        raise InDoubt(f"the front-end answers {answer.status}, which cannot be read: {error.what}") from error
    code, words = info.get("RETCOD", ""), info.get("ERRMSG", "")[:200]
    if code in SURELY_NOT_SENT and answer.status == _OK_STATUS and not left and not repeated(words):
        raise NotSent(f"RETCOD {code} {words}".strip())
    if code != OK or answer.status != _OK_STATUS:
        raise InDoubt(f"HTTP {answer.status}, RETCOD {code} {words}".strip())
    told = next((component.texts for component in components if component.name == "NTAGCAGCZ1"), {})
    given, reason = told.get("REQNBR", ""), f"{told.get('ERRCOD', '')} {told.get('ERRDSP', '')}".strip()
    if reason:
        raise InDoubt(f"the bank takes the part and tells {reason[:200]}")
    if not _NUMBER.fullmatch(given) or number not in ("", given):
        raise InDoubt(f"the bank gives the number {given[:20]!r} to a part of {number!r}")
    return given


# ---------------------------------------------------------------------------------------------------------------- asking


def inquire(document: SealedDocument, ctx: Context) -> Route[Found | NotFound | Asked]:
    """What the bank has of a Document in doubt. Raises NotSent where it gives no answer, InDoubt where it has some of it."""
    number, done = _cursor(ctx.cursor)
    answer, batch = yield from _batch(document, ctx)
    if answer is None:
        if ctx.cursor:  # it confirmed parts of it once: to begin anew on its silence could pay them twice
            raise InDoubt(f"the bank took {done} parts under the number {number} and lists no such batch: ask it")
        return NotFound()
    if batch.get("REQSTA") == RECEIVING:
        message, _ = yield from _message(document, 0)
        declared = _declared(message)
        if done < declared["TTLNUM"]:
            held = yield from _held(batch.get("REQNBR", ""), ctx)
            whole = _parts_of(held, declared)
            if whole is None or whole < done or number not in ("", batch.get("REQNBR", "")):
                raise InDoubt(
                    f"the bank is receiving the batch and holds {len(held)} payments: not those of {done} parts or more"
                )
            yield Save(f"{batch.get('REQNBR', '')}/{whole}")
            if whole < declared["TTLNUM"]:
                return NotFound()
    moment = (
        f"{ctx.now.astimezone(CHINA_TIME):%Y%m%d%H%M%S}"  # a name of its own: the same word again may end another doubt
    )
    if not (yield Take(_name(f"NTAGCINY_{moment}", document), answer.body, document.reference)):
        raise InDoubt("the bank's answer could not be kept")
    return Asked()


def _parts_of(held: set[str], declared: dict[str, int]) -> int | None:
    """How many whole parts these sequence numbers are; None where they are no whole parts, or none at all."""
    count = len(held)
    if not count or held != {f"{line:08d}" for line in range(1, count + 1)}:
        return None
    if count == declared["TTLCNT"]:
        return declared["TTLNUM"]
    parts, rest = divmod(count, declared["CURCNT"])
    return None if rest else parts


def fetch(ctx: Context) -> Route[Fetched]:
    """Ask about every Document that is awaited, then for returns. Raises NotSent where nothing came of it and something was not answered."""
    told = options(ctx.bank)
    waited = [one for one in ctx.awaited if ctx.now - one.sent >= timedelta(seconds=told.first_ask_s)]
    questions = [_results(one.document, ctx) for one in waited]
    questions += [_returns(fund, account, ctx) for fund, account in sorted(ctx.bank.debit_accounts.items())]
    count = 0
    unanswered: _Unanswered | None = None
    for nth, question in enumerate(questions):
        if nth:
            yield Wait(told.pause_s)
        try:
            count += yield from question
        except _Unanswered as error:  # one that the bank does not answer keeps no other from being asked about
            unanswered = unanswered or error
    if unanswered is not None and not count:
        raise unanswered
    return Fetched(count, told.ask_every_s)


def _results(document: SealedDocument, ctx: Context) -> Route[int]:
    """The word on a finished batch and its payments, page by page; how many answers were taken in."""
    answer, batch = yield from _batch(document, ctx)
    if answer is None or batch.get("REQSTA") != FINISHED:
        return 0
    pages = [] if batch.get("RTNFLG") in _REFUSED else (yield from _pages(batch.get("REQNBR", ""), ctx))
    count: int = yield Take(_name("NTAGCINY", document), answer.body, document.reference)
    for page, (body, _) in enumerate(pages, 1):
        count += yield Take(_name(f"NTAGDINF{page}", document), body, document.reference)
    return count


def _returns(fund: str, account: str, ctx: Context) -> Route[int]:
    """What came back to one debit account in the last days."""
    today = ctx.now.astimezone(CHINA_TIME).date()
    question = ask_returns(ctx.bank, account, today - timedelta(days=RETURN_DAYS), today)
    answer, components = yield from _ask(question)
    if not any(component.name == "NTAGDRFDZ1" for component in components):
        return 0
    count: int = yield Take(f"NTAGDRFD_{fund}_{today:%Y%m%d}.xml", answer.body)
    return count


def _held(number: str, ctx: Context) -> Route[set[str]]:
    """Sequence numbers of the payments that the bank holds of a batch."""
    held: set[str] = set()
    for _, components in (yield from _pages(number, ctx)):
        held |= {component.texts.get("TRXSEQ", "") for component in components if component.name == "NTAGCDTLY1"}
    return held


def _pages(number: str, ctx: Context) -> Route[list[tuple[bytes, list[Component]]]]:
    """The payments of a batch, up to 1,000 an answer; each answer but the last says where the next begins."""
    pause_s = options(ctx.bank).pause_s
    pages: list[tuple[bytes, list[Component]]] = []
    places = {("", "", "")}
    place = ("", "", "")
    while len(pages) < PAGES_MAX:
        yield Wait(pause_s)
        answer, components = yield from _ask(ask_details(ctx.bank, number, place))
        pages.append((answer.body, components))
        more = next((component.texts for component in components if component.name == "NTAGDINFY1"), None)
        if more is None:
            return pages
        place = (more.get("BTHNBR", ""), more.get("TRXSEQ", ""), more.get("HISTAG", ""))
        if place in places:
            raise _Unanswered("the list of payments comes back to the same place")
        places.add(place)
    raise _Unanswered("the list of payments has no end")


def _batch(document: SealedDocument, ctx: Context) -> Route[tuple[Answer | None, Texts]]:
    """The answer that tells of our batch, and its state; (None, {}) where the lists of all days since it was made have none.

    Raises NotSent where no list has it and the lists do not reach back to that day.
    """
    today = ctx.now.astimezone(CHINA_TIME).date()
    made = _made(document.reference, today)
    for begin, end in _weeks(made, today):
        answer, components = yield from _ask(ask_batch(ctx.bank, document.reference, begin, end))
        for component in components:
            if component.name == "NTAGCINQZ" and component.texts.get("YURREF") == document.reference:
                return answer, component.texts
    if made < today - timedelta(days=_HISTORY_DAYS):
        raise _Unanswered(f"{document.reference} is older than what the bank's lists reach back to")
    return None, {}


def _ask(question: bytes) -> Route[tuple[Answer, list[Component]]]:
    """A question that moves nothing. Raises NotSent for whatever is no answer to it."""
    answer: Answer = yield Post(PATH, question, CONTENT_TYPE, final=False)
    try:
        info, components = reading.opened(answer.body)
    except Malformed as error:
        raise _Unanswered(f"HTTP {answer.status}: {error.what}") from error
    if info.get("RETCOD") != OK or answer.status != _OK_STATUS:
        raise _Unanswered(
            f"HTTP {answer.status}, RETCOD {info.get('RETCOD', '')} {info.get('ERRMSG', '')[:200]}".strip()
        )
    return answer, components


def _made(reference: str, today: date) -> date:
    """The day in our reference; today where it has none."""
    found = _MADE.search(reference[-14:])
    try:
        return min(date(int(found[1][:4]), int(found[1][4:6]), int(found[1][6:])), today) if found else today
    except ValueError:
        return today


def _weeks(made: date, today: date) -> Iterator[tuple[date, date]]:
    """First and last days to ask about, a week at a time: from the day on when it was made, 90 days at most."""
    begin = max(made, today - timedelta(days=_HISTORY_DAYS))
    while begin <= today:
        end = min(begin + timedelta(days=_WEEK_DAYS), today)
        yield begin, end
        begin = end + timedelta(days=1)


# ---------------------------------------------------------------------------------------------------------------- the payload


def _message(document: SealedDocument, offset: int) -> Route[tuple[bytes, int]]:
    """The message at ``offset`` of the payload, and where the next one begins."""
    message = b""
    while True:
        data: bytes = yield Read(document, offset + len(message), _READ_BYTES)
        found = data.find(b"\n")
        if found >= 0:
            message += data[:found]
            return message, offset + len(message) + 1
        message += data
        if len(data) < _READ_BYTES:
            return message, offset + len(message)


def _declared(message: bytes) -> dict[str, int]:
    """How many parts and payments our own payload has, and payments in each part but the last."""
    found = {tag.decode(): int(text) for tag, text in _DECLARED.findall(message)}
    if set(found) != {"TTLNUM", "TTLCNT", "CURCNT"}:
        raise NotSent("the payload is none of this format")
    return found


def _cursor(cursor: str) -> tuple[str, int]:
    """The bank's number of the batch, and how many parts it confirmed."""
    found = _CURSOR.fullmatch(cursor)
    return (found[1], int(found[2])) if found else ("", 0)


def _name(function: str, document: SealedDocument) -> str:
    """The same for the same question: what is told again in the same bytes is a duplicate."""
    return f"{function}_{document.reference}.xml"


ROUTES = {WireKind.HTTPS: Routes(submit=submit, inquire=inquire, fetch=fetch, asks=True)}
