"""acmt.023 and acmt.024, account identification verification: does this account belong to a person of this name and id number?

The request is written in the shape of .02 or of .04, the two of which banks' published instances are known; request and report are read in
every version by the paths that they share. One message holds 1..n questions::

    acmt.023  Assgnmt: MsgId (reference) CreDtTm Assgnr Assgne     Vrfctn: Id (ref) PtyAndAcctId: Pty (Nm, Id) Acct
    acmt.024  Assgnmt  OrgnlAssgnmt: MsgId                         Rpt: OrgnlId Vrfctn (true or false) Rsn OrgnlPtyAndAcctId UpdtdPtyAndAcctId

Up to .02 ``Acct`` is the identification itself (``Acct/Othr/Id``), from .03 on a cash account (``Acct/Id/Othr/Id``). A reader that expects
the other nesting sees no account at all; here both are read, and an account that is neither is SCHEMA.

Source: ISO 20022 Account Management, acmt.023.001.02 and .04, acmt.024.001.02 and .04 (.04: schemas/iso20022).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.standards.message import Message, Parts, Shape, account_of, misplaced, name_of
from adapters.standards.pain001 import ACCOUNT_CHARS_MAX, IDENTIFIER_CHARS_MAX, TEXT_CHARS_MAX
from adapters.standards.parties import agent, organisation, person
from gateway.codec import xml
from gateway.codec.text import xml_text
from gateway.codec.xml import Element, Names, at, before, value
from gateway.core.bank import Bank, CheckLine, DocKind, Head, Item, ListHead, Reason, Row, Tail
from gateway.core.errors import Code, Halt, Malformed, Refused

#: The messages that are written, oldest first.
MESSAGES = ("acmt.023.001.02", "acmt.023.001.04")
REQUEST = Shape("acmt.023", ("Assgnmt", "PtyAndAcctId"))
REPORT = Shape("acmt.024", ("Assgnmt", "OrgnlAssgnmt", "Rpt"))

_CHUNK_LINES = 256
_IDENTIFICATIONS = frozenset({"IBAN", "Othr"})


def write(head: ListHead, lines: Iterable[CheckLine], bank: Bank, message: str) -> Iterator[bytes]:
    """The ``Document`` element of one of MESSAGES in canonical bytes, in chunks.

    Raises Refused (SIZE, NAME, CHARSET) for a line that the message cannot hold, Halt where the lines are not numbered 1, 2, … or are not as
    many as the head says.
    """
    before_account, after_account = ("", "") if message == MESSAGES[0] else ("<Id>", "</Id>")
    chunk = [
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{message}"><IdVrfctnReq><Assgnmt>'
        f"<MsgId>{xml_text(head.reference)}</MsgId><CreDtTm>{head.created.isoformat(timespec='seconds')}</CreDtTm>"
        f"<Assgnr><Pty>{organisation(bank.customer)}</Pty></Assgnr>"
        f"<Assgne><Agt>{agent(bank.clearing_code, bank.code)}</Agt></Assgne></Assgnmt>"
    ]
    count = 0
    for count, line in enumerate(lines, 1):
        if line.line != count:
            raise Halt(f"line {line.line} of {head.reference} stands at {count}")
        _fits(line)
        chunk.append(
            f"<Vrfctn><Id>{xml_text(line.ref)}</Id><PtyAndAcctId><Pty><Nm>{xml_text(line.name)}</Nm>"
            f"{person(line.id_type, line.id_number) if line.id_number else ''}</Pty>"
            f"<Acct>{before_account}<Othr><Id>{xml_text(line.account)}</Id></Othr>{after_account}</Acct>"
            "</PtyAndAcctId></Vrfctn>"
        )
        if len(chunk) >= _CHUNK_LINES:
            yield "".join(chunk).encode()
            chunk.clear()
    if not count or count != head.count:
        raise Halt(f"{head.reference} has {count} lines, its head says {head.count}")
    yield ("".join(chunk) + "</IdVrfctnReq></Document>").encode()


def _fits(line: CheckLine) -> None:
    where = f"line {line.line}"
    if not line.ref or not line.name or not line.account:
        raise Refused("has no reference, no name or no account", code=Code.NAME, where=where)
    sizes = (
        ("reference", line.ref, IDENTIFIER_CHARS_MAX),
        ("name", line.name, TEXT_CHARS_MAX),
        ("account", line.account, ACCOUNT_CHARS_MAX),
        ("id number", line.id_number, IDENTIFIER_CHARS_MAX),
    )
    for field, text, most in sizes:
        if len(text) > most:
            raise Refused(f"{field} of {len(text)} characters; the message holds {most}", code=Code.SIZE, where=where)


# ---------------------------------------------------------------------------------------------------------------- reading


def read_request(message: Message, elements: Parts) -> Iterator[Item]:
    """Head, one Row a question, Tail: what ``inspect`` shows of it. Nobody answered yet, so no Row has a status."""
    names, root = message.names, message.root
    head = Head(kind=DocKind.NAME_CHECK, message=message.name)
    count = 0
    for name, element in elements:
        parent = element.getparent()
        if name == "Assgnmt" and parent is root:
            _assigned(head, element, names)
        elif name == "PtyAndAcctId":
            if parent is None or parent.getparent() is not root or xml.local(parent) != "Vrfctn":
                misplaced(element)
                continue
            if not count:
                yield _begun(head, element)
            count += 1
            ref = next((value(child) for child in before(parent, names, name) if xml.local(child) == "Id"), "")
            yield _row(ref, "", (), name_of(at(element, names, "Pty"), names), element, names)
    # A question without its PtyAndAcctId was passed over: its element is still there, for the root keeps its children.
    if not count or count != sum(1 for child in root if names[str(child.tag)] == "Vrfctn"):
        raise Malformed("a question without a person and an account", code=Code.SCHEMA, where=xml.place(root))
    yield Tail(count=count, minor=None)


def read_report(message: Message, elements: Parts) -> Iterator[Item]:
    """Head, one Row an answer, Tail.

    ``Row.status`` is the flag as it is written (``true``, ``false``, ``1``, ``0``). ``Row.name`` is the bank's spelling, where it gives one
    (``UpdtdPtyAndAcctId``), never our own repeated; account and id number are the bank's too, or else those asked about.
    """
    names, root = message.names, message.root
    head = Head(kind=DocKind.NAME_CHECK, message=message.name)
    count = 0
    for name, element in elements:
        if element is root:
            continue
        if element.getparent() is not root:
            misplaced(element)
        elif name == "Assgnmt":
            _assigned(head, element, names)
        elif name == "OrgnlAssgnmt":
            head.original = value(at(element, names, "MsgId"))
            head.original_kind = REQUEST.message
        else:
            if not count:
                yield _begun(head, element)
            count += 1
            yield _answer(element, names)
    if not count:
        raise Malformed("a report without an answer", code=Code.SCHEMA, where=xml.place(root))
    yield Tail(count=count, minor=None)


def _assigned(head: Head, element: Element, names: Names) -> None:
    head.reference, head.created = value(at(element, names, "MsgId")), value(at(element, names, "CreDtTm"))


def _begun(head: Head, element: Element) -> Head:
    if not head.reference:
        raise Malformed("stands before the message's own reference", code=Code.SCHEMA, where=xml.place(element))
    return head


def _answer(element: Element, names: Names) -> Row:
    ref, flag = value(at(element, names, "OrgnlId")), value(at(element, names, "Vrfctn"))
    if not ref or not flag:
        raise Malformed("an answer without its reference or its flag", code=Code.SCHEMA, where=xml.place(element))
    reason = at(element, names, "Rsn")
    said = () if reason is None else tuple(Reason(names[str(code.tag)].lower(), value(code)) for code in reason)
    asked, told = at(element, names, "OrgnlPtyAndAcctId"), at(element, names, "UpdtdPtyAndAcctId")
    row = _row(ref, flag, said, name_of(at(told, names, "Pty"), names), asked, names)
    updated = _row(ref, flag, said, row.name, told, names)
    return row._replace(account=updated.account or row.account, id_number=updated.id_number or row.id_number)


def _row(ref: str, flag: str, reasons: tuple[Reason, ...], name: str, about: Element | None, names: Names) -> Row:
    person_id = at(about, names, "Pty", "Id", "PrvtId", "Othr", "Id")
    account = _account(at(about, names, "Acct"), names)
    return Row(ref, None, "", flag, reasons, name=name, account=account, id_number=value(person_id))


def _account(account: Element | None, names: Names) -> str:
    """The account's number in either nesting; "" where there is none, or only a proxy for one."""
    if account is None:
        return ""
    found = [names[str(child.tag)] for child in account]
    if _IDENTIFICATIONS.isdisjoint(found):
        number = account_of(account, names)
        told = bool(number) or "Prxy" in found
    else:
        direct = at(account, names, "IBAN")
        number = value(direct if direct is not None else at(account, names, "Othr", "Id"))
        told = bool(number) and found == found[:1]
    if not told:
        raise Malformed("an account without a number where it belongs", code=Code.SCHEMA, where=xml.place(account))
    return number
