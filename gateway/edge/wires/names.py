"""Names that we take from a bank, or give to one: an allow-list, since a name from outside is input like any other.

Taken are ASCII letters, digits and ``. _ -`` inside, at most 120 characters, at most eight folders deep. So there is no
``..``, no absolute or drive path, no control, blank or bidirectional character, no leading dash or dot, no trailing dot,
and no two spellings of one name (PROMISES G1). Locally a file never gets the bank's name: it is archived by digest.
"""

from __future__ import annotations

import re

from gateway.core.errors import Code, Malformed

NAME_CHARS_MAX = 120
DEPTH_MAX = 8
_NAME = re.compile(rf"[A-Za-z0-9_](?:[A-Za-z0-9._-]{{0,{NAME_CHARS_MAX - 2}}}[A-Za-z0-9_-])?", re.ASCII)
#: Endings of files that somebody is still writing (G4).
TEMPORARY = (
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".filepart",
    ".writing",
    ".uploading",
    ".crdownload",
    ".swp",
    ".lock",
)


def is_name(name: str) -> bool:
    """Whether it is one file or folder name that we take."""
    return _NAME.fullmatch(name) is not None


def is_temporary(name: str) -> bool:
    """Whether somebody is still writing under this name."""
    return name.lower().endswith(TEMPORARY)


def split(path: str) -> tuple[str, ...]:
    """The parts of a relative path, each an allowed name. Raises Malformed PATH."""
    parts = tuple(path.split("/"))
    if len(parts) > DEPTH_MAX or not all(map(is_name, parts)):
        raise Malformed(f"not a path that we take: {path[:200]!r}", code=Code.PATH)
    return parts
