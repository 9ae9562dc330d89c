"""The conversation with the bank's client program on the bureau's own network: its sign port, then its other port, which encrypts and sends.

A package is dated, packed if agreed, and signed by the sign port; that moves nothing. Then it is posted as a form. An answer with RetCode 0 about
this very package goes through the door; B0012 and everything else leave a doubt, because no list of what proves what is public.

Questions (QPAYPER) are posted in the open, as public clients do. RetCode B0116 is the bank's word that it has nothing under the number.
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

from adapters.icbc import reading
from adapters.icbc.codes import NOT_THERE, OK, WAITING
from adapters.icbc.layout import ASK, BANK_CODE, PAY, ask, dated, options, stamps, zipped
from gateway.core.bank import WireKind
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
    SealedDocument,
    Sent,
    Take,
    Wait,
)

SERVLET = "/servlet/ICBCCMPAPIReqServlet"
SIGN_TYPE = "INFOSEC_SIGN/1.0"
FORM_TYPE = "application/x-www-form-urlencoded; charset=GBK"
VERSION = "0.0.1.0"
_OK_STATUS = 200
_READ_BYTES = 256 * 1024


def submit(document: SealedDocument, ctx: Context) -> Route[Sent]:
    """Sign, then send once. Raises NotSent, InDoubt."""
    told = options(ctx.bank)
    message = dated((yield from _payload(document)), ctx.now)
    if told.zip:
        message = zipped(message)
    signature: Answer = yield Post("/", message, SIGN_TYPE, final=False, port=told.sign_port)
    try:
        sign = reading.signed(signature.body)
    except Malformed as error:
        raise NotSent(f"not signed: HTTP {signature.status}, {error.what}") from error
    if signature.status != _OK_STATUS:
        raise NotSent(f"not signed: HTTP {signature.status}")
    path, form = _form(ctx, PAY, document.reference, sign, packed=told.zip)
    answer: Answer = yield Post(path, form, FORM_TYPE, once=document.reference)
    package = _taken(answer, document.reference)
    if not (yield Take(_name(PAY, document), package, document.reference)):
        raise InDoubt("the bank's answer could not be kept")
    return Sent(document.digest)


def _taken(answer: Answer, reference: str) -> bytes:
    """The bank's package, where it took ours. Raises InDoubt."""
    try:
        package = reading.unwrapped(answer.body)
        word = reading.word(package)
    except Malformed as error:
        raise InDoubt(f"HTTP {answer.status}: {error.what}") from error
    if word.code != OK or answer.status != _OK_STATUS:
        raise InDoubt(f"HTTP {answer.status}, RetCode {word.code[:20]} {word.text[:200]}".strip())
    if word.original not in ("", reference):
        raise InDoubt(f"the bank takes {word.original[:40]!r}, sent was {reference}")
    return package


def inquire(document: SealedDocument, ctx: Context) -> Route[Found | NotFound | Asked]:
    """What the bank has under our number. Raises NotSent where it gives no answer."""
    package = yield from _question(document, ctx, 0)
    if package is None:
        return NotFound()
    name = _name(f"{ASK}_{''.join(stamps(ctx.now))}", document)  # its own: the same word again may end another doubt
    if not (yield Take(name, package, document.reference)):
        raise InDoubt("the bank's answer could not be kept")
    return Asked()


def fetch(ctx: Context) -> Route[Fetched]:
    """Ask about every Document that is awaited; an answer by which all of it still waits is no news. Raises NotSent where nothing
    came of it and something was not answered."""
    told = options(ctx.bank)
    waited = [one.document for one in ctx.awaited if ctx.now - one.sent >= timedelta(seconds=told.first_ask_s)]
    count = 0
    unanswered: _Unanswered | None = None
    for nth, document in enumerate(waited):
        if nth:
            yield Wait(told.pause_s)
        try:
            package = yield from _question(document, ctx, nth)
        except _Unanswered as error:  # one that the bank does not answer keeps no other from being asked about
            unanswered = unanswered or error
            continue
        if package is not None and not reading.word(package).results <= WAITING:
            count += yield Take(_name(ASK, document), package, document.reference)
    if unanswered is not None and not count:
        raise unanswered
    return Fetched(count, told.ask_every_s)


class _Unanswered(NotSent):
    """What came back is no answer to the question."""


def _question(document: SealedDocument, ctx: Context, nth: int) -> Route[bytes | None]:
    """The bank's package about ours; None where it says that it has none. Raises NotSent for whatever is no answer."""
    number = f"{''.join(stamps(ctx.now))}{nth:03d}"
    path, form = _form(ctx, ASK, number, ask(ctx.bank, number, document.reference, ctx.now), packed=False)
    answer: Answer = yield Post(path, form, FORM_TYPE, final=False)
    try:
        package = reading.unwrapped(answer.body)
        word = reading.word(package)
    except Malformed as error:
        raise _Unanswered(f"HTTP {answer.status}: {error.what}") from error
    if answer.status == _OK_STATUS and word.code == NOT_THERE:
        return None
    if answer.status != _OK_STATUS or word.code != OK or not word.results:
        raise _Unanswered(f"HTTP {answer.status}, RetCode {word.code[:20]} {word.text[:200]}".strip())
    return package


def _form(ctx: Context, code: str, number: str, data: bytes, *, packed: bool) -> tuple[str, bytes]:
    """Path and body of a POST to the port that sends."""
    told = options(ctx.bank)
    place = urlencode({"userID": told.id, "PackageID": number, "SendTime": "".join(stamps(ctx.now))})
    fields = {
        "Version": VERSION,
        "TransCode": code,
        "BankCode": BANK_CODE,
        "GroupCIS": ctx.bank.customer,
        "ID": told.id,
        "PackageID": number,
        "Cert": "",
        **({"zipFlag": "1"} if packed else {}),
    }
    body = urlencode(fields).encode() + b"&" + urlencode({"reqData": data}).encode()
    return f"{SERVLET}?{place}", body


def _payload(document: SealedDocument) -> Route[bytes]:
    payload = b""
    while len(payload) < document.size:
        data: bytes = yield Read(document, len(payload), _READ_BYTES)
        if not data:
            raise NotSent("the payload is shorter than it was")
        payload += data
    return payload


def _name(code: str, document: SealedDocument) -> str:
    """The same for the same question: what is told again in the same bytes is a duplicate."""
    return f"{code}_{document.reference}.xml"


ROUTES = {WireKind.HTTPS: Routes(submit=submit, inquire=inquire, fetch=fetch, asks=True)}
