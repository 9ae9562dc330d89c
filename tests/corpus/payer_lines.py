"""Bad and odd lines of a run (PROMISES 3 A6 to A11, A18 to A22, A27, A28) as data: a field's JSON, what must become of the line, the code."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.core.errors import Code


class Treatment(StrEnum):
    """What must become of a line."""

    REFUSED = "refused"  # a bad line with its code: it rejects its run, or only itself, as the header asks
    HELD = "held"  # accepted, and held for a person with the code
    TAKEN = "taken"  # exactly as sent
    WARNED = "warned"  # taken, with a warning
    SPOILS = (
        "spoils"  # no JSON at all: nobody can tell where its lines end, so the whole message is refused with the code
    )


class LineCase(NamedTuple):
    """``field`` gets ``text`` as its JSON, whatever it is; an empty text leaves the field out; ``raw`` stands for the whole line."""

    name: str
    field: str
    text: str
    treatment: Treatment
    code: str = ""
    raw: str = ""
    reads: int = -1  # the amount that can be made out of it, where that is not the base's


def line(base: dict[str, Any], case: LineCase) -> bytes:
    """The line's bytes: ``base`` with the case's field."""
    if case.raw:
        return case.raw.replace("$BASE", json.dumps(base, ensure_ascii=False)[1:-1]).encode()
    parts = []
    top, _, inner = case.field.partition(".")
    for name, value in {**base, **({} if top in base else {top: None})}.items():
        if name != top:
            parts.append(f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
        elif not inner and case.text:
            parts.append(f"{json.dumps(name)}: {case.text}")
        elif inner:
            rest = ", ".join(
                f"{json.dumps(key)}: {json.dumps(kept, ensure_ascii=False)}"
                for key, kept in value.items()
                if key != inner
            )
            parts.append(f'{json.dumps(name)}: {{{rest}, "{inner}": {case.text}}}')
    return ("{" + ", ".join(parts) + "}").encode("utf-8", "surrogatepass")


R, H, T, W, S = Treatment.REFUSED, Treatment.HELD, Treatment.TAKEN, Treatment.WARNED, Treatment.SPOILS
AMOUNTS = [
    LineCase("A7 NaN", "amount", "NaN", S, Code.RANGE),
    LineCase("A7 Infinity", "amount", "Infinity", S, Code.RANGE),
    LineCase("A7 -Infinity", "amount", "-Infinity", S, Code.RANGE),
    LineCase("A7 1e400", "amount", "1e400", R, Code.RANGE),
    LineCase("A8 a float", "amount", "10000.10", R, Code.SCHEMA),
    LineCase("A8 a whole float", "amount", "100001.0", R, Code.SCHEMA),
    LineCase("A8 an exponent", "amount", "1e3", R, Code.SCHEMA),
    LineCase("A8 a string", "amount", '"100001"', R, Code.SCHEMA),
    LineCase("A8 underscores", "amount", '"100_001"', R, Code.SCHEMA),
    LineCase("A8 full-width digits", "amount", '"１００００１"', R, Code.SCHEMA),
    LineCase("A8 blanks", "amount", '" 12 "', R, Code.SCHEMA),
    LineCase("A9 negative", "amount", "-1", R, Code.RANGE),
    LineCase("A9 zero", "amount", "0", R, Code.RANGE),
    LineCase("A9 minus zero", "amount", "-0", R, Code.RANGE),
    LineCase("A9 above the limit", "amount", "1000000001", R, Code.RANGE),
    LineCase("A9 beyond 64 bits", "amount", "99999999999999999999", R, Code.RANGE),
    LineCase("A10 5,000 digits", "amount", "9" * 5_000, R, Code.FORMAT),
    LineCase("a leading zero", "amount", "0100001", S, Code.FORMAT),
    LineCase("a plus sign", "amount", "+1", S, Code.FORMAT),
    LineCase("hexadecimal", "amount", "0x1", S, Code.FORMAT),
    LineCase("null", "amount", "null", R, Code.SCHEMA),
    LineCase("true", "amount", "true", R, Code.SCHEMA),
    LineCase("a list", "amount", "[1]", R, Code.SCHEMA),
]
SHAPES = [
    LineCase("A6 a key twice", "", "", R, Code.FORMAT, '{$BASE, "amount": 1}', 1),
    LineCase("A6 a key twice, the same value", "", "", R, Code.FORMAT, '{$BASE, "currency": "CNY", "currency": "CNY"}'),
    LineCase("A6 a key twice by an escape", "", "", R, Code.FORMAT, '{$BASE, "\\u0061mount": 1}', 1),
    LineCase(
        "A6 an inner key twice",
        "person",
        '{"name": "张三", "name": "李四", "id_number": "11010519491231002X"}',
        R,
        Code.FORMAT,
    ),
    LineCase("A11 a missing field", "account", "", R, Code.SCHEMA),
    LineCase("A11 an unknown field", "", "", R, Code.SCHEMA, '{$BASE, "urgent": true}'),
    LineCase("A11 another letter case", "", "", R, Code.SCHEMA, '{$BASE, "Amount": 1}'),
    LineCase("A27 a whitelist change", "", "", R, Code.SCHEMA, '{$BASE, "whitelist": {"name": "*"}}'),
    LineCase("no object", "", "", R, Code.SCHEMA, '"a line"', 0),
    LineCase("A4 deep inside", "", "", R, Code.SCHEMA, '{$BASE, "x": ' + "[" * 900 + "]" * 900 + "}"),
    LineCase("another currency", "currency", '"USD"', R, Code.SCHEMA),
    LineCase("A18 an unknown bank", "bank", '"BANKQ"', R, Code.POLICY),
    LineCase("a bank's code in small letters", "bank", '"bankb"', R, Code.SCHEMA),
    LineCase("another debit account", "debit_account", '"9900000000000099"', R, Code.POLICY),
    LineCase("an unknown bank as alternative", "alternative", '{"bank": "BANKQ", "account": "99000"}', R, Code.POLICY),
    LineCase("an id with a newline", "id", '"I00001\\n"', R, Code.SCHEMA),
    LineCase("an account with blanks", "account", '"9900 0100"', R, Code.SCHEMA),
    LineCase("full-width digits in an account", "account", '"９９０００１０００００００００００１７"', R, Code.SCHEMA),
    LineCase("a pay date in ten years", "pay_date", '"2025-06-10"', R, Code.POLICY),
    LineCase("the last day of all days", "pay_date", '"9999-12-31"', R, Code.POLICY),
    LineCase("no day", "pay_date", '"2015-02-30"', R, Code.SCHEMA),
]
NAMES = [
    LineCase("A20 zero width space", "person.name", '"张\u200b三"', H, Code.NAME),
    LineCase("A20 right-to-left override", "person.name", '"张\u202e三"', H, Code.NAME),
    LineCase("A20 private use", "person.name", '"张\ue78d"', H, Code.NAME),
    LineCase("A20 not assigned", "person.name", '"张\u0378"', H, Code.NAME),
    LineCase("A20 a lost character", "person.name", '"张\ufffd"', H, Code.NAME),
    LineCase("A20 delete", "person.name", '"张\x7f三"', H, Code.NAME),
    LineCase("A20 a name of blanks", "person.name", '"\u3000 "', H, Code.NAME),
    LineCase("A20 a tab", "person.name", '"张\\t三"', R, Code.NAME),
    LineCase("A20 U+0000", "person.name", '"张\\u0000三"', R, Code.NAME),
    LineCase("A20 the separator of our own columns", "person.name", '"张\\u001f三"', R, Code.NAME),
    LineCase("A20 half a surrogate pair", "person.name", '"张\\ud800"', S, Code.FORMAT),
    LineCase("A20 half a surrogate pair, raw", "person.name", '"张\ud800"', S, Code.FORMAT),
    LineCase("C4 the bank's delimiter", "person.name", '"张|三"', H, Code.CHARSET),
    LineCase("an empty name", "person.name", '""', R, Code.SCHEMA),
    LineCase("longer than the bank's field", "person.name", '"' + "欧" * 61 + '"', R, Code.SIZE),
    LineCase("as long as the bank's field", "person.name", '"' + "欧" * 60 + '"', T),
    LineCase("longer than any name", "person.name", '"' + "a" * 101 + '"', R, Code.SCHEMA),
    LineCase("A22 the middle dot", "person.name", '"艾力·买买提"', T),
    LineCase("A22 a bullet", "person.name", '"艾力•买买提"', T),
    LineCase("A22 a hyphenation point", "person.name", '"艾力‧买买提"', T),
    LineCase("A21 outside the basic plane", "person.name", '"𠮷野"', T),
    LineCase("a rare character", "person.name", '"李䶮"', T),
    LineCase("blanks inside and around", "person.name", '" 张 三\u3000"', T),
]
IDS = [
    LineCase("A19 a wrong check character", "person.id_number", '"110105194912310021"', H, Code.NAME_ID),
    LineCase("A19 born tomorrow", "person.id_number", '"110105201506112004"', H, Code.NAME_ID),
    LineCase("15 digits", "person.id_number", '"110105491231002"', T),
    LineCase("a small x", "person.id_number", '"11010519491231002x"', T),
    LineCase("full-width digits", "person.id_number", '"１１０１０５１９４９１２３１００２"', R, Code.SCHEMA),
    LineCase("a card with another check digit", "account", '"9900020000000000018"', W, Code.POLICY),
]
REMARKS = [
    LineCase("A28 a formula", "purpose", '"=HYPERLINK(\\"http://x\\",\\"y\\")"', T),
    LineCase("A28 HTML", "purpose", '"<script>alert(1)</script>"', T),
    LineCase("A28 an entity", "purpose", '"&lt;x&amp;y"', T),
    LineCase("a purpose longer than the bank's field", "purpose", '"' + "养" * 71 + '"', R, Code.SIZE),
    LineCase("a purpose as long as the bank's field", "purpose", '"' + "养" * 70 + '"', T),
    LineCase("a newline in the purpose", "purpose", '"a\\nb"', R, Code.NAME),
    LineCase("private use in the purpose", "purpose", '"六月\ue000"', H, Code.CHARSET),
]
LINES = [*AMOUNTS, *SHAPES, *NAMES, *IDS, *REMARKS]
