"""The route of files in a folder, on a disk or behind SFTP.

``in/`` is what we send, ``out/`` what the bank gives; what was taken moves to ``in/done/`` and ``out/done/``.

A bank may act on a file as soon as it stands under its final name, so a file gets there only whole: first a detached
seal, then the payload under a temporary name, its size looked at, then one rename that overwrites nothing. A file of
our name and size that already lies there, or that the bank has taken already, is not sent a second time. One of
another size is not what we sent: nobody knows what the bank has, and a person must look (InDoubt).
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.bank import Detached, DocKind, Seal
from gateway.core.errors import InDoubt, NotSent
from gateway.core.route import (
    Asked,
    Context,
    Done,
    Entry,
    Fetched,
    Found,
    Get,
    List,
    NotFound,
    Put,
    Rename,
    Route,
    Routes,
    SealedDocument,
    Sent,
    Stat,
    Wait,
)

IN, OUT = "in", "out"
TAKEN = f"{IN}/done"
TEMPORARY = ".tmp"
#: How long a bank gets to bring the seal of a payload that lies there without one, before it is taken in unsealed.
SEAL_WAIT_S = 10


def routes(seal: Seal | None) -> Routes:
    """The three generators for a format with this seal."""
    suffix = seal.suffix if isinstance(seal, Detached) else ""

    def fetch(context: Context) -> Route[Fetched]:
        """Take in what lies in ``out/``, and put aside what is archived with us."""
        return fetch_from(OUT, suffix if context.bank.sealed else "")

    return Routes(submit=submit, inquire=inquire, fetch=fetch)


def submit(document: SealedDocument, context: Context) -> Route[Sent]:
    """Deliver once. Raises InDoubt where a file of our name and another size lies there, NotSent for such a seal."""
    if (yield from _looked_for(document)):
        return Sent(document.digest)
    if document.seal is not None:
        yield from _submit_seal(document, len(document.seal))
    final = f"{IN}/{document.name}"
    yield Put(final + TEMPORARY, document)
    yield Stat(final + TEMPORARY, document.size)
    yield Rename(final + TEMPORARY, final)
    return Sent(document.digest)


def _submit_seal(document: SealedDocument, size: int) -> Route[None]:
    final = f"{IN}/{document.seal_name}"
    there = yield Stat(final)
    if there == size:
        return  # of an earlier try that ended before its payload
    if there is not None:
        raise NotSent("another seal lies there under the seal's name", where=document.seal_name)
    yield Put(final + TEMPORARY, document, seal=True)
    yield Stat(final + TEMPORARY, size)
    yield Rename(final + TEMPORARY, final, final=False)


def inquire(document: SealedDocument, context: Context) -> Route[Found | NotFound | Asked]:
    """Look whether the Document lies there or was taken; an inquiry Document is sent instead, and answered later.

    Raises InDoubt where a file of our name and another size lies there.
    """
    if document.kind is DocKind.INQUIRY:
        yield from submit(document, context)
        return Asked()
    return Found(document.size) if (yield from _looked_for(document)) else NotFound()


def _looked_for(document: SealedDocument) -> Route[bool]:
    # Where it was put before where it is moved to: a file moved between the two looks is then seen in the second.
    for folder in (IN, TAKEN):
        size = yield Stat(f"{folder}/{document.name}")
        if size == document.size:
            return True
        if size is not None:
            what = f"a file of our name has {size} bytes there, ours has {document.size}"
            raise InDoubt(what, where=f"{folder}/{document.name}")
    return False


def fetch_from(folder: str, suffix: str) -> Route[Fetched]:
    """Take in what lies in ``folder``, oldest first, and put aside what is archived with us.

    ``suffix`` is that of detached seals, empty where the format has none. A payload that still has no seal after a
    while is taken in without one: the door keeps it and says why, which is better than a file that lies there unseen.
    """
    names = _names((yield List(folder)))
    payloads = [name for name in names if not (suffix and name.endswith(suffix))]
    if suffix and any(name + suffix not in names for name in payloads):
        yield Wait(SEAL_WAIT_S)
        names |= _names((yield List(folder)))
    count = 0
    for name in payloads:
        path = f"{folder}/{name}"
        seal_path = path + suffix if suffix and name + suffix in names else ""
        if not (yield Get(path, name, seal_path)):
            continue
        count += 1
        # The payload first: a seal left alone is passed over for ever, a payload left alone would be taken for unsealed.
        yield Done(path)
        if seal_path:
            yield Done(seal_path)
    return Fetched(count)


def _names(entries: Iterable[Entry]) -> dict[str, None]:
    return dict.fromkeys(entry.name for entry in entries)  # in the order of the listing: oldest first
