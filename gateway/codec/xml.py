"""XML read as if it were hostile, in a stream, in bounded memory. lxml is imported here and in ``edge/crypto`` only.

What is refused, whatever a signature says about it (PROMISES, section 3 B): any document type, and with it every
entity; CDATA sections and processing instructions; a comment inside a value; more than 256 levels; more than 64
attributes on one element; a value above 10 MB; a charset that was not agreed, or bytes that are not in it; compressed
bytes; anything after the root. Nothing is fetched, expanded or mended.

TRUNCATED means that the document stops before its root is closed; every other fault is FORMAT, and what is
well-formed but not the agreed shape is SCHEMA. A reader only learns at the end whether the document was whole:
whoever applies it waits for that.

Sources: XML 1.0 (5th edition), Namespaces in XML 1.0; libxml2's parser limits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile
from typing import BinaryIO

from lxml import etree

from gateway.core.errors import Code, Malformed

Element = etree._Element
CHUNK_BYTES = 64 * 1024
ATTRIBUTES_MAX = 64
#: How many finished elements are kept before they are checked together and dropped from the tree.
KEPT_ELEMENTS = 128

# Charsets in which ASCII bytes mean ASCII, so that a forbidden construct can be seen in the raw bytes.
_CHARSETS = {b"utf-8", b"us-ascii", b"iso-8859-1", b"gb2312", b"gbk", b"gb18030"}
_DECLARATION = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_BOM_UTF_8 = b"\xef\xbb\xbf"
#: Enough for a declaration.
_BEGINNING_BYTES = 1024
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"PK\x03\x04", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_FORBIDDEN = re.compile(rb"<!DOCTYPE|<!\[CDATA\[")
_FORBIDDEN_BYTES = len(b"<![CDATA[")
_SENTENCES = {
    b"<!DOCTYPE": "holds a document type, with which entities and external files come",
    b"<![CDATA[": "holds a CDATA section",
}
# Asked of every element, so the shape matters: this one costs half a microsecond for a payment, //*[count(@*)>64] four.
_TOO_MANY_ATTRIBUTES = etree.XPath(f"boolean(//@*[{ATTRIBUTES_MAX + 1}])")
_WITH_TOO_MANY = etree.XPath(f"//*[@*[{ATTRIBUTES_MAX + 1}]]")
_UNDECLARED_ENTITY = (etree.ErrorTypes.ERR_UNDECLARED_ENTITY, etree.ErrorTypes.WAR_UNDECLARED_ENTITY)


def stream(source: BinaryIO, names: Collection[str]) -> Iterator[Element]:
    """Yield every element whose local name is in ``names`` when it is complete, in the order of their ends.

    An element leaves the tree some time after the next one was asked for: keep values, not elements. Reaching the end
    of the iteration proves that the document was whole and well-formed. Raises Malformed (TRUNCATED, FORMAT, SCHEMA).
    """
    parser = etree.XMLPullParser(
        events=("end", "pi"),
        tag=[f"{{*}}{name}" for name in names],
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        recover=False,
        strip_cdata=False,
    )
    done: list[Element] = []
    try:
        for chunk in _checked(source):
            parser.feed(chunk)
            for event, element in parser.read_events():
                if event == "pi":
                    raise _fault("holds a processing instruction", element)
                yield element
                done.append(element)
                if len(done) >= KEPT_ELEMENTS:
                    done = _drop(done)
    except etree.XMLSyntaxError as error:
        raise Malformed(f"not well-formed XML: {error.msg}", where=_line(error)) from None
    yield from _close(parser)


def _close(parser: etree.XMLPullParser) -> Iterator[Element]:
    """The end of the document: what comes before it, or why there is none."""
    try:
        root = parser.close()
    except etree.XMLSyntaxError as error:
        entity = any(entry.type in _UNDECLARED_ENTITY for entry in parser.feed_error_log)
        whole = error.code == etree.ErrorTypes.NS_ERR_UNDEFINED_NAMESPACE
        if entity or whole:
            what = "an entity that is not declared" if entity else error.msg
            raise Malformed(f"not well-formed XML: {what}", where=_line(error)) from None
        raise Malformed("stops before its end", code=Code.TRUNCATED, where=_line(error)) from None
    for event, element in parser.read_events():
        if event == "pi":
            raise _fault("holds a processing instruction", element)
        yield element
    if root.getroottree().docinfo.internalDTD is not None:
        raise Malformed(_SENTENCES[b"<!DOCTYPE"])
    _check_attributes(root)


def _checked(source: BinaryIO) -> Iterator[bytes]:
    """The stream's chunks, each looked at for what is never taken, before the parser sees it."""
    chunk = b""
    while len(chunk) < _BEGINNING_BYTES and (more := source.read(CHUNK_BYTES)):
        chunk += more
    _check_beginning(chunk)
    rest = b""
    while chunk:
        seen = rest + chunk
        if found := _FORBIDDEN.search(seen):
            raise Malformed(_SENTENCES[found[0]])
        rest = seen[-_FORBIDDEN_BYTES:]
        yield chunk
        chunk = source.read(CHUNK_BYTES)


def _check_beginning(chunk: bytes) -> None:
    if not chunk:
        raise Malformed("is empty", code=Code.TRUNCATED)
    if chunk.startswith(_COMPRESSED):
        raise Malformed("is compressed")
    marked = chunk.startswith(_BOM_UTF_8)
    text = chunk.removeprefix(_BOM_UTF_8)
    if b"\0" in text[:4] or text.lstrip()[:1] not in (b"<", b""):
        raise Malformed("does not begin as XML in a charset that was agreed (UTF-8)")
    declared = _DECLARATION.match(text)
    charset = declared[1].lower() if declared else b"utf-8"
    if charset not in _CHARSETS or (marked and charset != b"utf-8"):
        raise Malformed(f"declares {charset.decode('ascii')}, which was not agreed or is not true")


def _drop(done: list[Element]) -> list[Element]:
    """Check and remove finished elements but the last: libxml2 may still be adding to the text behind it."""
    _check_attributes(done[-1].getroottree().getroot())
    for element in done[:-1]:
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)
    return done[-1:]


def _check_attributes(root: Element) -> None:
    if _TOO_MANY_ATTRIBUTES(root):
        raise _fault(f"has more than {ATTRIBUTES_MAX} attributes", _WITH_TOO_MANY(root)[0], Code.SCHEMA)


class Names(dict[str, str]):
    """Tag → local name within one namespace (``""`` for none). A tag of any other namespace is SCHEMA: same word, other meaning."""

    def __init__(self, namespace: str) -> None:
        super().__init__()
        self.namespace = namespace
        self._prefix = f"{{{namespace}}}" if namespace else ""

    def __missing__(self, tag: object) -> str:
        if not isinstance(tag, str):  # a comment: no element, no name
            return ""
        name = tag.removeprefix(self._prefix)
        if "}" in name or (self._prefix and name == tag):
            raise Malformed(f"<{name.rpartition('}')[2]}> stands in another namespace", code=Code.SCHEMA)
        self[tag] = name
        return name


def children(element: Iterable[Element], names: Names) -> dict[str, list[Element]]:
    """The child elements by local name, in order. Raises Malformed SCHEMA for a child of another namespace."""
    found: dict[str, list[Element]] = {}
    for child in element:
        name = names[child.tag]  # type: ignore[index]  # a comment's tag is a function: Names answers ""
        if name:
            found.setdefault(name, []).append(child)
    return found


def before(element: Element, names: Names, stop: str) -> Iterator[Element]:
    """The child elements in front of the first one named ``stop``.

    While an element is still being read, the tree holds more or less of what follows, as the bytes happened to come;
    what stands in front of a finished child is always all there.
    """
    return takewhile(lambda child: names[child.tag] != stop, element)  # type: ignore[index]  # as above


def at(element: Element | None, names: Names, *path: str) -> Element | None:
    """The one element at a path of local names below ``element``, or None.

    Raises Malformed SCHEMA where a step stands there twice: nobody can say which one counts.
    """
    for step in path:
        if element is None:
            return None
        found = None
        for child in element:
            if names[child.tag] == step:  # type: ignore[index]  # as above
                if found is not None:
                    raise _fault("stands here twice", child, Code.SCHEMA)
                found = child
        element = found
    return element


def parts(
    element: Iterable[Element], names: Names, leaves: frozenset[str]
) -> tuple[dict[str, str], dict[str, list[Element]]]:
    """An element taken apart in one pass: the text of each child named in ``leaves``, and all children with content.

    Raises Malformed: SCHEMA for a leaf that stands there twice and for a child of another namespace, FORMAT for a leaf
    that holds anything but text (see ``value``).
    """
    texts: dict[str, str] = {}
    branches: dict[str, list[Element]] = {}
    for child in element:
        name = names[child.tag]  # type: ignore[index]  # as above
        if name in leaves:
            if len(child):
                raise _fault("holds something other than text", child)
            if name in texts:
                raise _fault("stands here twice", child, Code.SCHEMA)
            texts[name] = child.text or ""
        elif len(child):
            branches.setdefault(name, []).append(child)
    return texts, branches


def leaves(element: Element, names: Names) -> dict[str, str]:
    """The text of every child by local name, for an element that holds leaves only.

    Raises Malformed: SCHEMA for a child that stands there twice or in another namespace, FORMAT for one that holds anything but text.
    """
    if any(map(len, element)):
        raise _fault("holds something other than text", next(child for child in element if len(child)))
    texts = {names[child.tag]: child.text or "" for child in element}  # type: ignore[index]  # as above
    if len(texts) == len(element) and "" not in texts:
        return texts
    seen: set[str] = set()
    for child in element:  # a comment has no name; a name twice is a fault
        name = names[child.tag]  # type: ignore[index]  # as above
        if name in seen:
            raise _fault("stands here twice", child, Code.SCHEMA)
        seen |= {name} - {""}
    return {name: text for name, text in texts.items() if name}


def only(found: dict[str, list[Element]], name: str) -> Element | None:
    """The one element of that name, or None. Raises Malformed SCHEMA if it stands there twice."""
    elements = found.get(name)
    if elements is None:
        return None
    if len(elements) > 1:
        raise _fault("stands here twice", elements[1], Code.SCHEMA)
    return elements[0]


def value(element: Element | None) -> str:
    """The whole text of a leaf, exactly as written; ``""`` for None.

    Raises Malformed FORMAT where anything but text stands inside: ``100<!-- -->00.00`` reads as 100 in one program
    and as 10000.00 in another.
    """
    if element is None:
        return ""
    if len(element):
        raise _fault("holds something other than text", element)
    return element.text or ""


def local(element: Element) -> str:
    """Local name of an element, whatever its namespace."""
    return str(element.tag).rpartition("}")[2]


def namespace(element: Element) -> str:
    """Namespace of an element, ``""`` if none."""
    return str(element.tag).rpartition("}")[0].removeprefix("{")


def place(element: Element) -> str:
    """``line 12 Document/CstmrPmtStsRpt/TxInfAndSts``: where to look."""
    path = [*(local(ancestor) for ancestor in reversed([*element.iterancestors()]))]
    if isinstance(element.tag, str):
        path.append(local(element))
    return f"line {element.sourceline} {'/'.join(path)}"


def _fault(what: str, element: Element, code: Code = Code.FORMAT) -> Malformed:
    return Malformed(what, code=code, where=place(element))


def _line(error: etree.XMLSyntaxError) -> str:
    line, column = error.position
    return f"line {line} column {column}" if line else ""
