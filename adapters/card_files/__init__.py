"""card_files: fixed-width files between a city's social-security card centre and a bank: names checked, cards mapped, no payment.

Source: public code of the Jiaxing citizen-card system; see layout.py and README.md. Not certified by any bank.
"""

from __future__ import annotations

from adapters.card_files import layout
from adapters.card_files.codes import CODES, judge
from adapters.card_files.reading import read, sniff
from adapters.card_files.route import ROUTES
from gateway.core.adapter import Adapter, Capabilities, Trust
from gateway.core.bank import DocKind, Limits

ADAPTER = Adapter(
    code="card_files",
    title="Social-security card files (fixed width)",
    title_zh="社保卡银行卡定长文件",
    source="a2531509/eracloud_jx at c2b4ff07: files SH, RH, BK and calls B0056, B0057 of the Jiaxing citizen-card system",
    confidence="likely",
    trust=Trust.CHANNEL,
    seal=None,
    charset=layout.CHARSET,
    limits=Limits(
        rows_max=100_000,
        name_bytes_max=layout.NAME_BYTES_MAX,
        account_chars_max=layout.ACCOUNT_CHARS_MAX,
        document_bytes_max=64 * 1024 * 1024,  # 100,000 records of SH have 59 MB
    ),
    capabilities=Capabilities(
        writes=frozenset({DocKind.NAME_CHECK}),
        reads=frozenset({DocKind.NAME_CHECK, DocKind.CARD_STATUS}),
    ),
    routes=ROUTES,
    codes=CODES,
    file_name="SH_{reference}_{customer}_{date}{seq:06}",
    write_payment=None,
    write_inquiry=None,
    write_check=layout.write_check,
    read=read,
    sniff=sniff,
    judge=judge,
    encodable=layout.REQUEST.unfit,
    options=layout.Options,
)
