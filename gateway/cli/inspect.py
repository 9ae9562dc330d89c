"""``sheyin inspect``: decode, verify and explain any document, ours or a bank's, without a ledger and without changing anything."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from cyclopts import Parameter

import adapters
from gateway.cli import config as configuration
from gateway.cli import seal_check
from gateway.cli.explain import QUIET, Explained, RowWord, explain
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, complain, error_document, several
from gateway.cli.seal_check import Finding, Known, State
from gateway.core.adapter import Adapter
from gateway.core.bank import Agreement, Detached, DocKind
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code, Malformed, Refused, SheyinError
from gateway.core.money import decimal, spoken
from gateway.core.verdicts import MEANINGS, Outcome, Verdict

_SNIFFED_BYTES = 8 * 1024
_PROGRESS_BYTES_MIN = 4 * 1024 * 1024
OUTCOMES_ZH = {
    Outcome.PAID: "已入账",
    Outcome.FAILED: "失败",
    Outcome.REFUSED: "拒绝，未记账",
    Outcome.UNKNOWN: "不明，待查询",
    Outcome.PENDING: "处理中",
    Outcome.RETURNED: "已退回",
    Outcome.NONE: "—",
}
SEALS_ZH = {State.ABSENT: "无签名", State.VALID: "验签通过", State.INVALID: "验签不通过", State.UNVERIFIED: "未验签"}


def inspect(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    *,
    format: Annotated[str, Parameter(name="--format")] = "",
    cert: Annotated[tuple[Path, ...], Parameter(name="--cert", negative="")] = (),
    seal: Path | None = None,
    bank: str = "",
    at: date | None = None,
    rows: int = 20,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> Exit:
    """Decode, verify and explain any document, ours or a bank's. Nothing is sent, stored or applied.

    A seal that is absent, foreign or wrong is reported and does not stop the reading; what is malformed, truncated or holds a
    document type is refused with exit code 2. Statuses and codes are shown exactly as the bank wrote them, with their meaning.

    Parameters
    ----------
    file
        The document; - reads standard input.
    format
        Its format, as `sheyin banks` lists them; without it the format is recognised by its first bytes.
    cert
        Certificate (PEM or DER) that the seal must be made with; may be given twice during a change-over. Without it the
        configuration's certificates are tried, if there is a configuration.
    seal
        A detached seal; without it FILE with the format's suffix, if it is there.
    bank
        Judge by this configured bank's agreement (which status means credited), and verify with its pins alone.
    at
        Day on which the certificate must be valid; without it today.
    rows
        How many lines are shown; --json prints all of them.
    """
    output = Output(as_json)
    with _open(file) as payload:
        adapter = _adapter(format, payload)
        known, agreement = _known(cert, bank, config, output)
        size = payload.seek(0, io.SEEK_END)
        payload.seek(0)
        moment = datetime.now(UTC) if at is None else datetime(at.year, at.month, at.day, 12, tzinfo=CHINA_TIME)
        finding, readable = seal_check.check(adapter, payload, size, _detached(adapter, file, seal), known, moment)
        with output.progress("Reading", size if size >= _PROGRESS_BYTES_MIN else None, "bytes") as step:
            explained = explain(adapter, _counted(readable, step), agreement, most=max(rows, 0))
        with explained as found:  # after the bar is gone: it would wipe out a line of what is printed
            wrong = _wrong_totals(found)
            if as_json:
                _print_json(output, adapter, finding, found, wrong)
            else:
                _print(output, file, adapter, finding, found, rows)
                if wrong:
                    complain(Code.TOTALS, str(file), wrong, "The bank would refuse it, and so do we.")
    return Exit.REFUSED if wrong else Exit.OK


# ---------------------------------------------------------------------------------------------------------------- reading


def _open(file: Path) -> BinaryIO:
    if str(file) == "-":
        return io.BytesIO(sys.stdin.buffer.read())
    try:
        return file.open("rb")
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(file)) from None


def _adapter(code: str, payload: BinaryIO) -> Adapter:
    """The format asked for, or the one that the first bytes look like. Raises Refused UNKNOWN_REF, Malformed."""
    found = adapters.discover()
    if code:
        if code not in found:
            what = f"no installed format is called {code!r}; there are {', '.join(found)}"
            raise Refused(what, code=Code.UNKNOWN_REF, where="--format")
        return found[code]
    beginning = payload.read(_SNIFFED_BYTES)
    payload.seek(0)
    fitting = [adapter for adapter in found.values() if adapter.sniff(beginning)]
    if len(fitting) == 1:
        return fitting[0]
    if not beginning:
        raise Malformed("is empty", code=Code.TRUNCATED)
    if not fitting:
        raise Malformed(f"looks like none of the installed formats ({', '.join(found)}): name one with --format")
    names = ", ".join(adapter.code for adapter in fitting)
    raise Refused(f"could be {names}: name one with --format", code=Code.FORMAT, where="--format")


def _known(cert: tuple[Path, ...], bank: str, config: Path | None, output: Output) -> tuple[Known, Agreement]:
    """Certificates to verify with, and the agreement to judge by."""
    certificates = seal_check.given_certificates(cert)
    if not bank and certificates:
        return Known(certificates, asked=True), Agreement()
    path = configuration.find(config)
    if path is None and not bank:
        return Known((), asked=False), Agreement()
    try:
        loaded = configuration.load(path, files=False)
        known = seal_check.configured_certificates(loaded.keys, loaded.folder)
    except SheyinError as error:
        if config is not None or bank:
            raise
        output.warn(f"the configuration was left aside: {error}")
        return Known((), asked=False), Agreement()
    if not bank:
        return Known(known, asked=False), Agreement()
    chosen = loaded.bank(bank)
    pins = certificates or [one for one in known if one.name in chosen.pins]
    return Known(pins, asked=True, bank=chosen), chosen.agreement


def _detached(adapter: Adapter, file: Path, seal: Path | None) -> bytes | None:
    """A detached seal's bytes: the file asked for, or the one beside the document."""
    if not isinstance(adapter.seal, Detached):
        if seal is not None:
            raise Refused(f"{adapter.code} carries no seal in a file of its own", code=Code.POLICY, where="--seal")
        return None
    beside = file.with_name(file.name + adapter.seal.suffix) if str(file) != "-" else None
    if seal is None and (beside is None or not beside.is_file()):
        return None
    return seal_check.read_seal(seal or beside or file)


class _Counted(io.RawIOBase):
    """A stream that tells how much of it was read."""

    def __init__(self, source: BinaryIO, step: Callable[[int], None]) -> None:
        self._source, self._step = source, step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._step(len(data))
        return data


def _counted(source: BinaryIO, step: Callable[[int], None]) -> BinaryIO:
    return _Counted(source, step)  # type: ignore[return-value]  # the part of BinaryIO that readers use


# ---------------------------------------------------------------------------------------------------------------- programs


def _print_json(output: Output, adapter: Adapter, finding: Finding, found: Explained, wrong: str) -> None:
    """One document with one line for each row; the order of its keys is fixed. What is ``wrong`` with it is its last."""
    before = msgspec.json.encode(
        {
            "format": adapter.code,
            "kind": found.head.kind,
            "seal": {"state": finding.state, "by": finding.by},
            "totals": found.totals,
            "group": found.group,
            "blocks": found.blocks,
        }
    )
    output.raw(before[:-1] + b',"rows":[')
    separator = b"\n"
    for row in found.json_rows():
        output.raw(separator + row)
        separator = b",\n"
    error = msgspec.json.encode(error_document(Code.TOTALS, "totals", wrong))[1:-1] if wrong else b""
    output.raw(b"\n]" + (b"," + error if error else b"") + b"}\n")


# ---------------------------------------------------------------------------------------------------------------- people


def _print(output: Output, file: Path, adapter: Adapter, finding: Finding, found: Explained, most: int) -> None:
    head = found.head
    facts = [
        ("file 文件", str(file)),
        ("format 格式", f"{adapter.code} · {head.message} · {head.kind}"),
        ("seal 签名", _seal_words(finding)),
        ("reference 编号", head.reference),
        ("answers 对应原文件", " ".join(part for part in (head.original, head.original_kind) if part)),
        ("made 生成时间", head.created),
        ("part 分批", _part_words(head.part, head.parts)),
        ("totals 合计", _total_words(found)),
        ("word 总体状态", _group_words(found)),
    ]
    width = max(_columns(name) for name, value in facts if value)
    for name, value in facts:
        if value:
            output.say(f"{name}{' ' * (width - _columns(name))}  {value}")
    output.say("")
    _print_blocks(output, found, most)
    _print_counts(output, found)
    _print_rows(output, found, most)


def _seal_words(finding: Finding) -> str:
    text = f"{finding.state} {SEALS_ZH[finding.state]}"
    if finding.by:
        text += f", {'by' if finding.state is State.VALID else 'claims to be by'} {finding.by}"
    return text + (f" ({finding.why})" if finding.why else "")


def _part_words(part: int, parts: int) -> str:
    if parts == 1 or (part, parts) == (1, 0):
        return ""
    return f"{part} of {parts or 'as many as come'}"


def _currency(found: Explained) -> str:
    if found.head.currency:
        return found.head.currency
    named = [currency for currency in found.currencies if currency]
    return named[0] if len(named) == 1 else ""


def _money(minor: int | None, currency: str) -> str:
    if minor is None:
        return "no amounts"
    return spoken(minor, currency) if currency else f"{minor} minor units"


def _total_words(found: Explained) -> str:
    totals, currency = found.totals, _currency(found)
    text = f"{several(totals.count, 'line')} here, {_money(totals.minor, currency)}"
    if totals.declared_count is None and totals.declared_minor is None:
        return text
    declared = [] if totals.declared_count is None else [f"{totals.declared_count:,} lines"]
    declared += [] if totals.declared_minor is None else [_money(totals.declared_minor, currency)]
    mark = (
        "agrees 一致" if _agree(found) else "DIFFERS 不一致" if found.head.original == "" else "of the original 原文件"
    )
    return f"{text}; declared {', '.join(declared)}: {mark}"


def _agree(found: Explained) -> bool:
    """Whether what is declared is what was counted."""
    totals = found.totals
    return totals.declared_count in (None, totals.count) and (
        totals.minor is None or totals.declared_minor in (None, totals.minor)
    )


def _wrong_totals(found: Explained) -> str:
    """An order to pay whose own totals are not those of its lines must be refused; of anything else it is only told."""
    if found.head.kind is not DocKind.PAYMENT or _agree(found):
        return ""
    totals = found.totals
    return (
        f"declared are {totals.declared_count} lines and {totals.declared_minor} minor units, "
        f"counted {totals.count} and {totals.minor}"
    )


def _group_words(found: Explained) -> str:
    group = found.group
    if not group.status and not group.reasons:
        return ""
    said = " ".join((group.status, *group.reasons)).strip()
    return f"{said} → {group.outcome} {OUTCOMES_ZH[group.outcome]}{_meaning(found.group_verdict)}"


def _meaning(verdict: str) -> str:
    if not verdict:
        return ""
    meaning = MEANINGS[Verdict(verdict)]
    return f", {verdict} {meaning.zh} {meaning.en}"


def _print_blocks(output: Output, found: Explained, most: int) -> None:
    blocks = [(block, marks) for block, marks in zip(found.blocks, found.marks, strict=True)]
    if not any(block.status or block.reasons or marks for block, marks in blocks):
        return
    output.table(
        "Blocks 批次" + (f" (first {most} of {len(blocks):,})" if len(blocks) > most else ""),
        ("ref 编号", "status 状态", "reasons 原因", "marks 标记", "outcome 含义"),
        (
            (block.ref, block.status, " ".join(block.reasons), marks, f"{block.outcome} {OUTCOMES_ZH[block.outcome]}")
            for block, marks in blocks[:most]
        ),
    )


def _print_counts(output: Output, found: Explained) -> None:
    if found.totals.count == 0:
        output.say("No lines in it 无明细")
        return
    currency = _currency(found)
    output.table(
        "Lines by outcome 明细汇总",
        ("outcome 结果", ("lines 笔数", "right"), ("amount 金额", "right")),
        (
            (f"{outcome} {OUTCOMES_ZH[outcome]}", f"{count:,}", _money(found.outcome_minor.get(outcome), currency))
            for outcome, count in found.outcomes.most_common()
        ),
    )
    causes = [
        (verdict, count)
        for verdict, count in found.verdicts.most_common()
        if verdict not in (Verdict.PAID, Verdict.RECEIVED)
    ]
    if causes:
        output.table(
            "Lines by cause 原因汇总",
            ("verdict", "原因", "meaning", ("lines 笔数", "right"), "next 下一步"),
            (
                (
                    verdict,
                    MEANINGS[Verdict(verdict)].zh,
                    MEANINGS[Verdict(verdict)].en,
                    f"{count:,}",
                    str(MEANINGS[Verdict(verdict)].move),
                )
                for verdict, count in causes
            ),
        )


def _print_rows(output: Output, found: Explained, most: int) -> None:
    total = found.totals.count
    if not total or not most:
        return
    loud = sum(count for outcome, count in found.outcomes.items() if outcome not in QUIET)
    rows, title = found.first, "Lines 明细"
    if total > len(found.first):
        if found.first_loud:
            rows, title = (
                found.first_loud,
                f"Lines 明细: {len(found.first_loud):,} of the {loud:,} that somebody must look at",
            )
        else:
            title = f"Lines 明细: the first {len(rows):,} of {total:,}"
    output.table(
        title,
        (
            "ref 付款编号",
            ("amount 金额", "right"),
            "status 状态",
            "codes 代码",
            "outcome 结果",
            "verdict 原因",
            "text 说明",
        ),
        (_cells(row) for row in rows),
    )
    if total > len(rows):
        output.say("--rows N shows more, --json all of them.")


def _cells(row: RowWord) -> tuple[str, ...]:
    amount = "" if row.amount_minor is None else f"{decimal(row.amount_minor, row.currency or 'CNY')} {row.currency}"
    meaning = f"{row.verdict} {MEANINGS[Verdict(row.verdict)].zh}" if row.verdict else ""
    return (
        row.ref,
        amount,
        row.status,
        " ".join(row.codes),
        f"{row.outcome} {OUTCOMES_ZH[row.outcome]}",
        meaning,
        row.text,
    )


def _columns(text: str) -> int:
    """How many columns a terminal gives to it: two for a Chinese character."""
    return sum(2 if ord(character) > 0x2E7F else 1 for character in text)
