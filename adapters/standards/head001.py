"""head.001.001.02, business application header, and the wrapper that holds it beside its document.

ISO 20022 defines AppHdr and Document as two roots and leaves the wrapper to the parties; ours is specified in
schemas/iso20022/README.md::

    <BusinessMessage xmlns="urn:sheyin:xsd:business-message:1">
      <AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02">
        <Fr/> <To/> <BizMsgIdr/> <MsgDefIdr/> <CreDt/> <Sgntr>ds:Signature over the whole</Sgntr>
      </AppHdr>
      <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09">...</Document>
    </BusinessMessage>

Everything is exclusive-canonical XML, as in ``pain001``.

Source: ISO 20022 Business Application Header, head.001.001.02 (schemas/iso20022).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from adapters.standards.parties import agent, organisation
from gateway.codec.text import xml_text
from gateway.core.bank import Bank, SealSlot

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:head.001.001.02"
WRAPPER_NAMESPACE = "urn:sheyin:xsd:business-message:1"
WRAPPER = "BusinessMessage"
#: Where the signature stands, below the root.
SIGNATURE_PATH = (f"{{{NAMESPACE}}}AppHdr", f"{{{NAMESPACE}}}Sgntr")


def wrapped(
    document: Iterable[bytes], bank: Bank, *, reference: str, message: str, created: datetime
) -> Iterator[bytes | SealSlot]:
    """A document with its header around it, and the slot where its signature goes.

    It goes from us, by our customer number at the bank, to the bank. ``message`` is the document's full name.
    """
    sender = f"<OrgId>{organisation(bank.customer)}</OrgId>"
    receiver = f"<FIId>{agent(bank.clearing_code, bank.code)}</FIId>"
    yield (
        f'<{WRAPPER} xmlns="{WRAPPER_NAMESPACE}"><AppHdr xmlns="{NAMESPACE}"><Fr>{sender}</Fr><To>{receiver}</To>'
        f"<BizMsgIdr>{xml_text(reference)}</BizMsgIdr><MsgDefIdr>{message}</MsgDefIdr>"
        f"<CreDt>{created.isoformat(timespec='seconds')}</CreDt><Sgntr>"
    ).encode()
    yield SealSlot()
    yield b"</Sgntr></AppHdr>"
    yield from document
    yield f"</{WRAPPER}>".encode()
