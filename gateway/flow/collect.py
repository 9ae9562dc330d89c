"""Collect: one door for every way in, then archive → verify → decode → totals → apply whole (P4, P7, P8, P9)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import BinaryIO, NamedTuple

import structlog

from gateway.core.adapter import Judge
from gateway.core.bank import Agreement, Block, DocKind, Head, Item, Reason, Row, Tail
from gateway.core.errors import Code, Conflict, Halt, Malformed, Refused, SheyinError, Unverified
from gateway.core.ledger import Application, Applied, InDocument, Ledger, OutDocument, Recorded
from gateway.core.money import Totals
from gateway.core.partner import Partner
from gateway.core.points import Points
from gateway.core.ports import Archive, Clock, Crypto, Work
from gateway.core.results import Told
from gateway.core.states import DocumentEvent, DocumentState, InboundEvent, InboundState
from gateway.core.verdicts import Judgement, Outcome, Verdict
from gateway.flow.asking import counts_from_ms

log = structlog.get_logger(__name__)

SEAL_BYTES_MAX = 64 * 1024
_ANSWERABLE = (DocumentState.SENDING, DocumentState.SENT, DocumentState.RECEIPTED, DocumentState.IN_DOUBT, DocumentState.REFUSED,
               DocumentState.SETTLED)  # fmt: skip
_ABOUT_OURS = (DocKind.RECEIPT, DocKind.RESULT, DocKind.ANSWER)
_TAKEN = (*_ABOUT_OURS, DocKind.RETURN)


class Decoded(NamedTuple):
    """A verified Document, read to its end."""

    head: Head
    told: Told
    totals: Totals
    word: Judgement | None  # on the whole Document, where it has one
    by: str
    trailer: bool  # totals are declared at the end: those in the head are then not of the Document that is answered


class Collector:
    """The inbound door and what happens behind it."""

    def __init__(
        self, ledger: Ledger, archive: Archive, crypto: Crypto, work: Work, clock: Clock, points: Points
    ) -> None:
        self._ledger, self._archive, self._crypto = ledger, archive, crypto
        self._work, self._clock, self._points = work, clock, points

    # ------------------------------------------------------------------------------------------------------ the door

    async def take_in(
        self,
        partner: Partner,
        name: str,
        stream: AsyncIterator[bytes],
        channel: str,
        seal: bytes | None,
        about: str = "",
    ) -> Recorded:
        """Archive what arrives, under a size cap, and record it: from here on the sender may forget it.

        ``about``: reference of the Document that was asked about, where what arrives is an answer that may not name it.

        Raises Malformed SIZE above the cap, Unavailable where archive or ledger is away: nothing is recorded then, and it stays where it is.
        """
        spool = self._archive.spool(partner.limits.document_bytes_max)
        try:
            async for part in stream:
                spool.write(part)
            size = spool.size
            digest = await self._work.run(spool.keep)
        except BaseException:
            spool.drop()
            raise
        self._points.reach("collect.archived")
        _, recorded = await self._ledger.record_inbound(partner.bank.code, name, digest, size, channel, seal, about)
        self._points.reach("collect.recorded")
        return recorded

    # ------------------------------------------------------------------------------------------------------ applying

    async def step(self, partner: Partner) -> int:
        """Apply what waits of one bank, oldest first; how many Documents were dealt with."""
        waiting = await self._ledger.inbound(
            [InboundState.ARCHIVED, InboundState.VERIFIED, InboundState.STAGED], partner.bank.code
        )
        for document in waiting:
            await self._deal(document, partner)
        return len(waiting)

    async def _deal(self, document: InDocument, partner: Partner) -> None:
        try:
            decoded = await self._work.run(self._decode, document, partner, self._clock.now())
            applied = await self._apply(document, partner, decoded)
            self._points.reach("collect.applied")
            log.info(
                "inbound_applied",
                bank=document.bank,
                file=document.name,
                moved=dict(applied.moved),
                parked=applied.parked,
            )
        except (Malformed, Unverified) as error:
            await self._close(document, InboundEvent.QUARANTINED, error)
        except Refused as error:
            if isinstance(error, Conflict) and error.code is Code.CONFLICT and error.where.startswith("inbound "):
                return  # another transaction was faster: the next step applies it
            await self._close(document, InboundEvent.PARKED, error)

    async def _close(self, document: InDocument, event: InboundEvent, error: SheyinError) -> None:
        log.warning(
            "inbound_refused", how=str(event), bank=document.bank, file=document.name, code=error.code, what=error.what
        )
        await self._ledger.close_inbound(
            document.key, event, error.code, f"{error.where}: {error.what}" if error.where else error.what
        )
        await self._ledger.alert("warning", f"inbound:{document.bank}:{document.name}", error.code, error.what[:200])

    def _decode(self, document: InDocument, partner: Partner, now: datetime) -> Decoded:
        """Verify, then read only what was verified, to its end. Synchronous: runs in Work."""
        adapter, bank = partner.adapter, partner.bank
        with self._archive.open(document.digest) as payload:
            source: BinaryIO = payload
            by = f"channel {bank.wire}"
            try:
                if bank.sealed and adapter.seal is not None:
                    verified = self._crypto.verify(bank, adapter.seal, payload, document.seal, now)
                    source, by = verified.signed, verified.by
                    source.seek(0)
                return _read(adapter.read(source), partner, by)
            except (SheyinError, OSError, MemoryError):
                raise
            except Exception as error:  # a fault of the reader's must not come back with the same bytes for ever
                what = f"the reader failed with {type(error).__name__}: {error}"
                raise Malformed(what[:300], code=Code.FORMAT) from error

    async def _apply(self, document: InDocument, partner: Partner, decoded: Decoded) -> Applied:
        head = decoded.head
        if head.kind not in _TAKEN:
            raise Refused(f"a {head.kind} is not taken from a bank yet", code=Code.POLICY)
        about: OutDocument | None = None
        event, code, what = "", "", ""
        if head.kind in _ABOUT_OURS:
            about = await self._about(document, decoded)
            asked = await self._asked(about, decoded)
            event, code, what = self._document_event(about, decoded, partner.bank.agreement, asked)
            if about.departures > 1:
                decoded.told.doubt_refusals()
        return await self._ledger.apply(
            Application(
                inbound_key=document.key,
                kind=head.kind,
                reference=head.reference,
                original=head.original or document.about,
                seal_by=decoded.by,
                totals=decoded.totals,
                document_key=about.key if about else None,
                document_event=event,
                document_code=code,
                document_what=what,
            ),
            decoded.told,
        )

    async def _about(self, document: InDocument, decoded: Decoded) -> OutDocument:
        """Our Document that the answer names. Raises Refused: SEQ for one that was never sent, CONFLICT for other bytes than ours."""
        head = decoded.head
        if document.about and head.original not in ("", document.about):
            what = f"asked about {document.about}, the bank answers about {head.original!r}"
            raise Refused(what, code=Code.SEQ, where=document.name)
        original = head.original or document.about
        about = await self._ledger.document_by_reference(document.bank, original)
        if about is None or not (about.state in _ANSWERABLE or about.sendings or about.exported):
            raise Refused(
                f"it answers {original!r}, which was not sent to {document.bank}",
                code=Code.SEQ,
                where=document.name,
            )
        if head.original_digest and head.original_digest.lower() != about.digest:
            raise Refused(
                f"the bank holds other bytes under {original} than we sent",
                code=Code.CONFLICT,
                where=document.name,
            )
        if head.kind is DocKind.RECEIPT or not decoded.trailer:  # the head repeats the totals of what it answers
            told, ours = (head.declared_count, head.declared_minor), (about.count, about.minor)
            if any(theirs not in (None, mine) for theirs, mine in zip(told, ours, strict=True)):
                raise Refused(
                    f"the bank counts {told[0]} lines and {told[1]} fen, sent were {ours[0]} and {ours[1]}",
                    code=Code.TOTALS,
                )
        return about

    async def _asked(self, about: OutDocument, decoded: Decoded) -> OutDocument | None:
        """The inquiry of ours that a "not found" answers; None where it answers none about this Document."""
        if decoded.word is None or decoded.word.verdict is not Verdict.NOT_FOUND or not decoded.head.inquiry:
            return None
        asked = await self._ledger.document_by_reference(about.bank, decoded.head.inquiry)
        return asked if asked is not None and asked.about_key == about.key else None

    def _document_event(
        self, about: OutDocument, decoded: Decoded, agreement: Agreement, asked: OutDocument | None
    ) -> tuple[str, str, str]:
        """What the word on the whole does to our Document: (event, the bank's code, its text)."""
        head, word = decoded.head, decoded.word
        reason = head.reasons[0] if head.reasons else Reason("", head.status)
        event: str = DocumentEvent.FOUND if about.state == DocumentState.IN_DOUBT else DocumentEvent.RECEIPTED
        if word is not None and word.verdict is Verdict.NOT_FOUND:
            event = self._not_found(about, agreement, asked)
        elif (
            about.state == DocumentState.SEALED
        ):  # it left, was not found, and now there is an answer: it must not leave again
            event = DocumentEvent.DOUBTED
        elif word is None:
            pass
        elif word.verdict is Verdict.UNKNOWN_CODE:
            raise Refused(f"no table has the code {reason.code!r} on the whole file", code=Code.UNKNOWN_CODE)
        elif word.outcome in (Outcome.REFUSED, Outcome.FAILED):
            event = DocumentEvent.REFUSED
        elif word.outcome is Outcome.UNKNOWN:
            event = DocumentEvent.DOUBTED
        return event, reason.code, reason.text

    def _not_found(self, about: OutDocument, agreement: Agreement, asked: OutDocument | None) -> str:
        """A doubt about what we held for delivered; believed only of what is in doubt, asked after the Agreement's window, at a Bank that
        refuses repeats by a key. What was asked too early says nothing."""
        if about.state == DocumentState.SENT:
            return DocumentEvent.DOUBTED
        if about.state == DocumentState.SEALED:
            return ""
        if about.state != DocumentState.IN_DOUBT:
            raise Refused(f"the bank does not find {about.reference}, which is {about.state}", code=Code.CONFLICT)
        if asked is None:
            raise Refused(f"'not found' for {about.reference} answers no inquiry of ours about it", code=Code.SEQ)
        if asked.last_sending_ms < counts_from_ms(about, agreement):
            return ""
        if not agreement.duplicate_key:
            raise Refused(
                f"'not found' for {about.reference}: the bank has no duplicate key, two people must decide on its letter",
                code=Code.POLICY,
            )
        return DocumentEvent.NOT_FOUND


def _read(items: Iterator[Item], partner: Partner, by: str) -> Decoded:
    """Read to the Tail; classify every line once per distinct word."""
    judge, agreement = partner.adapter.judge, partner.bank.agreement
    head: Head | None = None
    tail: Tail | None = None
    blocks: list[Block] = []
    told = Told()
    words: dict[object, Judgement] = {}
    for item in items:
        if isinstance(item, Row):
            if head is None:
                raise Malformed("a line before the head", code=Code.FORMAT)
            key = (item.block, item.status, item.reasons)
            word = words.get(key)
            if word is None:
                word = words[key] = judge(head, blocks[item.block] if item.block >= 0 else None, item, agreement)
            told.add(item, word)
        elif isinstance(item, Block):
            blocks.append(item)
        elif isinstance(item, Head):
            head = item
        else:
            tail = item
    if head is None or tail is None:
        raise Malformed("the end of the Document is missing", code=Code.TRUNCATED)
    if tail.count != len(told):
        raise Halt(f"a reader counted {tail.count} lines and gave {len(told)}")
    whole = _whole(head, blocks, len(told), judge, agreement)
    return Decoded(head, told, Totals(tail.count, tail.minor or 0), whole, by, tail.declared_count is not None)


def _whole(head: Head, blocks: list[Block], lines: int, judge: Judge, agreement: Agreement) -> Judgement | None:
    """The word on the whole: the Document's own, or, where no line follows, its blocks' if they agree."""
    if head.status or head.reasons:
        word = judge(head, None, None, agreement)
        if word.outcome not in (Outcome.NONE, Outcome.PENDING) or word.verdict is Verdict.UNKNOWN_CODE:
            if word.outcome is Outcome.UNKNOWN and lines and word.verdict is not Verdict.DUPLICATE:
                return None  # the lines have words of their own
            return word
    if not lines and blocks:
        found = {judge(head, block, None, agreement) for block in blocks}
        if len(found) == 1:
            return found.pop()
        if any(word.outcome in (Outcome.REFUSED, Outcome.FAILED, Outcome.UNKNOWN) for word in found):
            return Judgement(Outcome.UNKNOWN, Verdict.NO_REASON)
    return None
