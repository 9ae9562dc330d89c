"""ISO 20022 on the bank's side: pain.001 in, pain.002 and camt.054 out, each inside the agreed wrapper with a signed business header."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateway.sandbox import iso20022_read as read
from gateway.sandbox import iso20022_write as write
from gateway.sandbox import seals
from gateway.sandbox.config import SandboxBank
from gateway.sandbox.orders import Answer, Booked, Kind, Opened, Order, Twist

WRAPPER_NS = "urn:sheyin:xsd:business-message:1"
WRAPPER = "BusinessMessage"


class IsoSide:
    """One bank's ISO 20022."""

    detached = False
    other_content = "DUPL"

    def __init__(self, config: SandboxBank) -> None:
        self._code, self._customer = config.code, config.customer
        self._word = config.answers.credited_word
        self._schemas = Path(config.schemas) if config.schemas else None
        self._signer, self._pins = seals.keyring(config.keys)
        self._foreign: seals.Foreign | None = None

    def open(self, payload: bytes, seal: bytes | None) -> Opened:
        """Verify the signature in the header, then read. Raises FileRefused."""
        opened = read.opened(payload, f"{{{WRAPPER_NS}}}{WRAPPER}", self._pins)
        if self._schemas is not None:
            read.validate(payload, self._schemas)
        return opened

    def name(self, answer: Answer, order: Order | None) -> str:
        """``<customer>_<kind>_<number>.xml``. A bank that takes its word back calls that a result too, so names keep the order in which it spoke."""
        kind = Kind.RESULT if answer.kind is Kind.CONTRADICTION else answer.kind
        return f"{self._customer}_{kind}_{answer.id:08d}.xml"

    def write(
        self, answer: Answer, order: Order | None, rows: Iterable[Booked], twist: Twist
    ) -> tuple[bytes, bytes | None]:
        """The wrapper with header, signature and Document; only the Document in the unsigned test profile."""
        message = f"{self._code}{answer.id:010d}"
        if answer.kind is Kind.RETURN and order is not None:
            kind, document = "camt.054.001.08", write.return_notice(answer, order, rows, twist, message=message)
        else:
            kind = "pain.002.001.10"
            document = write.status_report(answer, order, rows, twist, message=message, word=self._word)
        if self._signer is None:
            return document.encode(), None
        before = f'<{WRAPPER} xmlns="{WRAPPER_NS}">{self._header(answer, message, kind)}'.encode()
        after = b"</AppHdr>" + document.encode() + f"</{WRAPPER}>".encode()
        if twist.seal == "none":
            return before + after, None
        slot = b"<Sgntr>%s</Sgntr>"
        block = seals.signature_block(before + slot % b"" + after, self._sealer(twist))
        return before + slot % block + after, None

    def _header(self, answer: Answer, message: str, kind: str) -> str:
        """The business header up to the place of the signature."""
        return (
            f'<AppHdr xmlns="{read.HEAD_001}"><Fr><FIId><FinInstnId><Othr><Id>{self._code}</Id></Othr></FinInstnId></FIId></Fr>'
            f"<To><OrgId><Id><OrgId><Othr><Id>{self._customer}</Id></Othr></OrgId></Id></OrgId></To>"
            f"<BizMsgIdr>{message}</BizMsgIdr><MsgDefIdr>{kind}</MsgDefIdr><CreDt>{answer.created}{write.ZONE}</CreDt>"
        )

    def _sealer(self, twist: Twist) -> seals.Signer:
        assert self._signer is not None
        if twist.seal != "foreign":
            return self._signer
        if self._foreign is None:
            self._foreign = seals.Foreign(self._signer.certificate)
        return self._foreign


SIDE = IsoSide
