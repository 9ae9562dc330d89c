"""The report as one printable page, Chinese and English, with a bar chart drawn here: no script, nothing fetched from anywhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.cli.acting import instant
from gateway.cli.report_figures import Share, shares, total, verdicts, words
from gateway.core.money import decimal

_REGISTER_MAX = 2_000
_BAR_WIDTH, _BAR_HEIGHT, _LABEL_WIDTH, _GAP = 560, 22, 150, 10
_STYLE = """
body{font:14px/1.5 "Noto Sans CJK SC","Microsoft YaHei",sans-serif;margin:2em auto;max-width:60em;color:#1a1a1a}
h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:1.6em 0 .4em}p{margin:.3em 0}
table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid #ccc;padding:.2em .5em;text-align:left}
th{border-bottom:2px solid #444}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.bad{color:#b00020;font-weight:bold}.note{color:#555;font-size:.9em}svg{max-width:100%;height:auto}
@media print{body{margin:0;font-size:11px}tr,svg{break-inside:avoid}thead{display:table-header-group}}
@page{size:A4;margin:15mm}
"""
_STATES = {
    "paid": "已支付", "failed": "失败", "refused": "拒付", "returned": "退汇", "unknown": "待查", "held": "挂起", "withdrawn": "撤回",
    "ready": "待发", "new": "新建", "batched": "已组批", "pending": "在途",
}  # fmt: skip
_WAITS = {
    "nothing": "无", "wait_name": "等待户名核实", "wait_card": "等待补换卡", "alternative_account": "改用其他账户",
    "correct_and_retry": "更正后重付", "retry": "重付", "ask_person": "联系本人", "inquire": "查询银行", "never": "不再支付", "park": "人工处理",
}  # fmt: skip
#: Text columns of the register; all others are figures.
Head = tuple[str, bool]  # heading, is it a figure


def page(found: Mapping[str, Any], bureau: str, banks: Mapping[str, str]) -> str:
    """The whole document; every word of it that is not ours is escaped."""
    whole = total(dict(found))
    by_bank = shares(dict(found), "bank")
    parts = [
        f'<!DOCTYPE html>\n<html lang="zh-CN"><head><meta charset="utf-8"><title>{_e(found["run_id"])}</title>',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<style>{_STYLE}</style></head><body>",
        _head(found, bureau, whole),
        "<h2>各银行 By bank</h2>",
        chart(by_bank, banks),
        _share_table("银行 bank", [(banks.get(one.name, one.name), one) for one in by_bank], whole),
        "<h2>各区 By district</h2>",
        _share_table("区 district", [(one.name or "—", one) for one in shares(dict(found), "district")], whole),
        *_verdict_tables(found),
        *_register(found, banks),
        *_conservation(found, banks),
        '<p class="note">姓名与账号已隐去部分。Names and account numbers are masked.</p></body></html>\n',
    ]
    return "\n".join(parts)


def chart(found: Sequence[Share], banks: Mapping[str, str]) -> str:
    """A bar for each bank: paid at first, by the second payment, not yet; all on one scale."""
    most = max((one.ordered for one in found), default=0) or 1
    height = len(found) * (_BAR_HEIGHT + _GAP) + _GAP
    label = "各银行支付情况 payments by bank"
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LABEL_WIDTH + _BAR_WIDTH + 90} {height}" role="img" aria-label="{label}">'
    ]
    for number, one in enumerate(found):
        top, left = _GAP + number * (_BAR_HEIGHT + _GAP), _LABEL_WIDTH
        text_at = top + _BAR_HEIGHT - 6
        drawn.append(f'<text x="0" y="{text_at}" font-size="13">{_e(one.name)} {_e(banks.get(one.name, ""))}</text>')
        for count, colour in ((one.first, "#2a6f97"), (one.later, "#74a892"), (one.missing, "#c1554d")):
            width = max(count * _BAR_WIDTH // most, 2 if count else 0)  # few are seen, too
            drawn.append(f'<rect x="{left}" y="{top}" width="{width}" height="{_BAR_HEIGHT}" fill="{colour}"/>')
            left += width
        drawn.append(f'<text x="{left + 6}" y="{text_at}" font-size="12">{one.paid:,} / {one.ordered:,}</text>')
    drawn.append("</svg>")
    legend = "蓝 首次成功 paid at first · 绿 二次支付成功 by second payment · 红 未成功 not paid"
    return "\n".join(drawn) + f'\n<p class="note">{legend}</p>'


def _head(found: Mapping[str, Any], bureau: str, whole: Share) -> str:
    what = (
        f"{_e(found['payer'])} · {_e(found['line'])} · {_e(found['period'])} · 支付日 pay date {_e(found['pay_date'])}"
    )
    closed = f" · 结束 closed {_e(instant(found['closed_ms']))}" if found["closed_ms"] else ""
    return (
        f"<h1>{_e(bureau)}</h1><p>待遇发放批次报告 Report of run <b>{_e(found['run_id'])}</b>: {_e(found['state'])}{closed}</p><p>{what}</p>"
        f"<p>共 {whole.ordered:,} 笔，{_yuan(whole.minor)} 元；首次成功 {whole.first:,} 笔（{whole.percent(whole.first)}），"
        f"二次支付成功 {whole.later:,} 笔，至今成功 {whole.paid:,} 笔（{whole.percent(whole.paid)}）。</p>"
        f"<p>{whole.ordered:,} payments, CNY {_yuan(whole.minor)}; paid at first {whole.first:,} ({whole.percent(whole.first)}), "
        f"by second payment {whole.later:,}, by now {whole.paid:,} ({whole.percent(whole.paid)}).</p>"
    )


def _share_table(head: str, named: Sequence[tuple[str, Share]], whole: Share) -> str:
    heads: list[Head] = [
        (head, False), ("笔数 ordered", True), ("金额（元）CNY", True), ("首次成功 at first", True), ("%", True),
        ("二次成功 second", True), ("至今成功 by now", True), ("%", True), ("未成功 open", True),
    ]  # fmt: skip
    rows = [
        (name, f"{one.ordered:,}", _yuan(one.minor), f"{one.first:,}", one.percent(one.first), f"{one.later:,}",
         f"{one.paid:,}", one.percent(one.paid), f"{one.missing:,}")
        for name, one in (*named, ("合计 total", whole))
    ]  # fmt: skip
    return _table(heads, rows)


def _verdict_tables(found: Mapping[str, Any]) -> list[str]:
    parts = []
    heads: list[Head] = [("状态 state", False), ("原因 verdict", False), ("", False), ("笔数 payments", True), ("金额 CNY", True)]  # fmt: skip
    for title, key in (
        ("首次未成功的原因 Not paid at first", "first"),
        ("二次支付未成功的原因 Not paid by the second payment", "later"),
    ):
        rows = [
            (f"{_STATES.get(state, state)} {state}", words(verdict)[0], f"{words(verdict)[1]} ({verdict})" if verdict else "",
             f"{n:,}", _yuan(minor))
            for state, verdict, n, minor in verdicts(found[key])
        ]  # fmt: skip
        if rows:
            parts += [f"<h2>{title}</h2>", _table(heads, rows)]
    return parts


def _register(found: Mapping[str, Any], banks: Mapping[str, str]) -> list[str]:
    waiting = found["waiting"]
    if not waiting:
        return []
    heads: list[Head] = [
        ("编号 instruction", False), ("姓名 name", False), ("账号 account", False), ("银行 bank", False), ("区 district", False),
        ("金额 CNY", True), ("等待 waits for", False), ("自 since", False),
    ]  # fmt: skip
    rows = [
        (w["instruction"], w["name"], w["account"], banks.get(w["bank"], w["bank"]), w["district"], _yuan(w["minor"]),
         f"{_WAITS.get(w['waits_for'], w['waits_for'])} {w['waits_for']}", instant(w["since_ms"])[:10])
        for w in waiting[:_REGISTER_MAX]
    ]  # fmt: skip
    more = f"；另有 and {len(waiting) - _REGISTER_MAX} more" if len(waiting) > _REGISTER_MAX else ""
    return [f"<h2>待处理 What waits ({len(waiting):,}{more})</h2>", _table(heads, rows)]


def _conservation(found: Mapping[str, Any], banks: Mapping[str, str]) -> list[str]:
    names = [name for name in (*_STATES,) if any(one.get(name, {}).get("count") for one in found["lines"])]
    heads: list[Head] = [("银行 bank", False), ("应付 ordered", True)]
    heads += [(f"{_STATES[name]} {name}", True) for name in names] + [("平衡 adds up", False)]
    rows = [
        (banks.get(one["bank"], one["bank"]), f"{one['ordered']['count']:,}",
         *(f"{one[name]['count']:,}" for name in names), "是 yes" if one["conserved"] else "否 NO")
        for one in found["lines"]
    ]  # fmt: skip
    return ["<h2>守恒核对 Where every payment is</h2>", _table(heads, rows)]


def _table(heads: Sequence[Head], rows: Iterable[Sequence[str]]) -> str:
    def cell(tag: str, text: str, figure: bool) -> str:
        return f"<{tag}{' class=n' if figure else ''}>{_e(text)}</{tag}>"

    top = "".join(cell("th", text, figure) for text, figure in heads)
    body = "\n".join(
        "<tr>" + "".join(cell("td", text, heads[at][1]) for at, text in enumerate(row)) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _yuan(minor: int) -> str:
    whole, _, fraction = decimal(minor).partition(".")
    return f"{int(whole):,}.{fraction}"


def _e(value: object) -> str:
    return html.escape(str(value if value is not None else ""))
