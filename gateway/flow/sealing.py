"""Sealing: from a Document's membership in the ledger to signed bytes in the archive.

The writer streams into a spool that hashes as it grows. An enveloped signature's place is left free and filled at the end; a detached one stands
beside; what is signed around, or gets its signature into a slot of its own, is spooled once more.
The digest is signed through the Crypto port, which checks its own signature before it gives it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from msgspec import structs

from gateway.codec import xmldsig
from gateway.core.bank import Attached, Detached, DocKind, Enveloped, Inline, Inquiry, PayLine, PaymentHead, SealSlot
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code, Halt, Refused
from gateway.core.ledger import Ledger, OutDocument
from gateway.core.partner import Partner
from gateway.core.points import Points
from gateway.core.ports import Archive, Clock, Crypto, Spool, Work
from gateway.flow import seals

ALGORITHM = seals.RSA
_PAGE = 5_000


class Sealed(NamedTuple):
    """What the ledger is told."""

    digest: str
    size: int
    seal: bytes | None
    seal_name: str


class _Spooled(NamedTuple):
    spool: Spool
    hole: int  # offset of the signature's place, -1 if none


class Sealer:
    """Writes and seals Documents."""

    def __init__(
        self, ledger: Ledger, archive: Archive, crypto: Crypto, work: Work, clock: Clock, points: Points, bureau: str
    ) -> None:
        self._ledger, self._archive, self._crypto, self._work = ledger, archive, crypto, work
        self._clock, self._points, self._bureau = clock, points, bureau
        self._key_bytes: dict[str, int] = {}

    async def seal(self, document: OutDocument, partner: Partner) -> Sealed:
        """Write, hash, sign, archive.

        Raises Unavailable (engine or archive away); Refused for a line that the format cannot carry (``unfit`` says which), for an inquiry
        about what is not in question any more (SEQ), or for a key of ours that may not sign (CERT).
        """
        hole = await self._hole_bytes(partner)
        if document.kind is DocKind.PAYMENT:
            lines = await self._lines(document)
            spooled = await self._work.run(self._spool_payment, document, partner, lines, hole)
        else:
            about = (await self._about(document), document)
            spooled = await self._work.run(self._spool_inquiry, *about, partner, hole)
        self._points.reach("seal.spooled")
        sealed = await self._sign(spooled, document, partner)
        self._points.reach("seal.archived")
        return sealed

    async def _lines(self, document: OutDocument) -> list[PayLine]:
        """Every line, gapless and complete: the count and total that stand in the header are checked before a byte is written."""
        lines: list[PayLine] = []
        while page := await self._ledger.pay_lines(document.key, len(lines), _PAGE):
            lines += page
        minor = sum(line.amount for line in lines)
        if (len(lines), minor) != (document.count, document.minor) or (lines and lines[-1].line != len(lines)):
            raise Halt(
                f"{document.reference} has {len(lines)} lines and {minor} fen, planned {document.count} and {document.minor}"
            )
        return lines

    async def _about(self, document: OutDocument) -> OutDocument:
        every = ["in_doubt", "sent", "receipted"]
        for candidate in await self._ledger.documents(document.bank, every):
            if candidate.key == document.about_key:
                return candidate
        raise Refused(f"{document.reference} asks about a Document that is not in question any more", code=Code.SEQ)

    async def read(self, digest: str, offset: int, size: int) -> bytes:
        """A piece of what was sealed, for a route that sends it in parts. Raises Halt if the archive does not hold it whole."""
        return await self._work.run(self._read, digest, offset, size)

    def _read(self, digest: str, offset: int, size: int) -> bytes:
        with self._archive.open(digest) as payload:
            payload.seek(offset)
            return payload.read(size)

    async def unfit(self, document: OutDocument, partner: Partner) -> list[tuple[int, str, str]]:
        """(line, code, what) of every line that the format cannot carry, each tried alone: only asked once the whole was refused."""
        lines = await self._lines(document)
        return await self._work.run(self._unfit, document, partner, lines)

    def _unfit(self, document: OutDocument, partner: Partner, lines: list[PayLine]) -> list[tuple[int, str, str]]:
        found = []
        for line in lines:
            head = structs.replace(self._head(document), count=1, minor=line.amount)
            try:
                for _ in partner.adapter.payment(head, [line._replace(line=1)], partner.bank):
                    pass
            except Refused as error:
                found.append((line.line, str(error.code), error.what))
        return found

    async def replay(self, document: OutDocument, partner: Partner) -> int:
        """Write a sealed payment Document once more, with the code of today: the offset of the first byte that differs from what the archive
        holds, or -1. A signature's place is passed over: only the key may change what stands there.

        Raises Halt where the ledger's lines do not add up or the archive lacks it, Refused for a line that the format does not carry any more.
        """
        lines = await self._lines(document)
        return await self._work.run(self._replay, document, partner, lines)

    def _replay(self, document: OutDocument, partner: Partner, lines: list[PayLine]) -> int:
        with self._archive.open(document.digest) as payload:
            offset, shape = 0, partner.adapter.seal if partner.bank.sealed else None
            parts = partner.adapter.payment(self._head(document), lines, partner.bank)
            if isinstance(shape, Inline) and shape.join is not None:  # with the signature that the archive holds
                unsigned = b"".join(part for part in parts if isinstance(part, bytes))
                parts = iter((shape.join(unsigned, shape.split(payload.read())[1]),))
                payload.seek(0)
            for part in parts:
                if isinstance(part, SealSlot):
                    written = b"".join(later for later in parts if not isinstance(later, SealSlot))
                    offset = max(offset, document.size - len(written))
                    payload.seek(offset)
                else:
                    written = part
                held = payload.read(len(written))
                if held != written:
                    return offset + _common(held, written)
                offset += len(written)
        return -1 if offset == document.size else offset

    def _spool_payment(self, document: OutDocument, partner: Partner, lines: list[PayLine], hole: int) -> _Spooled:
        return self._spool(partner, partner.adapter.payment(self._head(document), lines, partner.bank), hole)

    def _head(self, document: OutDocument) -> PaymentHead:
        return PaymentHead(
            reference=document.reference,
            batch=f"B{document.batch_key}",
            sequence=document.sequence,
            created=_local(document.created_ms),
            pay_date=date.fromisoformat(document.pay_date),
            fund=document.fund,
            benefit=document.line,
            debit_account=document.debit_account,
            debit_name=self._bureau,
            count=document.count,
            minor=document.minor,
        )

    def _spool_inquiry(self, about: OutDocument, document: OutDocument, partner: Partner, hole: int) -> _Spooled:
        write = partner.adapter.write_inquiry
        if write is None:
            raise Halt(f"{partner.adapter.code} has no inquiry")
        inquiry = Inquiry(
            reference=document.reference,
            original=about.reference,
            original_name=about.name,
            created=_local(document.created_ms),
        )
        return self._spool(partner, write(inquiry, partner.bank), hole)

    def _spool(self, partner: Partner, parts: Iterator[bytes | SealSlot], hole: int) -> _Spooled:
        spool = self._archive.spool(partner.limits.document_bytes_max)
        offset = -1
        try:
            for part in parts:
                if isinstance(part, SealSlot):
                    offset = spool.hole(hole)
                else:
                    spool.write(part)
        except BaseException:
            spool.drop()
            raise
        return _Spooled(spool, offset)

    async def _sign(self, spooled: _Spooled, document: OutDocument, partner: Partner) -> Sealed:
        spool, shape, key = spooled.spool, partner.adapter.seal if partner.bank.sealed else None, partner.bank.sign_key
        try:
            if isinstance(shape, Enveloped):
                shown = xmldsig.signed_info(spool.running_digest())
                value = await self._crypto.sign(key, ALGORITHM, shown)
                spool.fill(spooled.hole, xmldsig.signature(shown, value, self._crypto.certificate(key)))
            digest = await self._work.run(spool.keep)
        except BaseException:
            spool.drop()
            raise
        if isinstance(shape, Detached):
            with self._archive.open(digest) as payload:
                hashed, now = bytes.fromhex(digest), self._clock.now()
                seal = await seals.beside(self._crypto, key, shape, payload, hashed, now)
            return Sealed(digest, spool.size, seal, document.name + shape.suffix)
        if isinstance(shape, Attached | Inline):
            with self._archive.open(digest) as payload:
                if isinstance(shape, Attached):
                    sealed = await seals.around(self._crypto, key, shape, payload, self._clock.now())
                elif shape.join is not None:
                    signer_id = shape.signer_id(partner.bank) if shape.signer_id else ""
                    sealed = await seals.inside(self._crypto, key, shape, payload, signer_id)
                else:  # the adapter's route signs
                    return Sealed(digest, spool.size, None, "")
            outer = await self._work.run(self._spool, partner, iter((sealed,)), 0)
            return Sealed(await self._work.run(outer.spool.keep), outer.spool.size, None, "")
        return Sealed(digest, spool.size, None, "")

    async def _hole_bytes(self, partner: Partner) -> int:
        """Exact size of an enveloped signature with this Bank's key; 0 where none is made."""
        if not partner.bank.sealed or not isinstance(partner.adapter.seal, Enveloped):
            return 0
        key = partner.bank.sign_key
        if key not in self._key_bytes:  # the port gives no key away, not even its length: a trial signature tells it
            self._key_bytes[key] = len(await self._crypto.sign(key, ALGORITHM, b""))
        return xmldsig.signature_size(self._crypto.certificate(key), self._key_bytes[key])


def _common(one: bytes, other: bytes) -> int:
    """How many bytes they begin with alike."""
    return next(
        (n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )


def _local(ms: int) -> datetime:
    """Asia/Shanghai, whole seconds."""
    return datetime.fromtimestamp(ms // 1000, CHINA_TIME)
