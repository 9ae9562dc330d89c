"""pingan: Ping An Bank's B2Bi direct link: batches of payments (KHKF01, KHKF02) or single ones (KHKF03, KHKF04).

Source: clients and field lists that were published by others; see README.md. Not certified by the bank.
"""

from __future__ import annotations

from adapters.pingan import layout
from adapters.pingan.codes import CODES, judge
from adapters.pingan.layout import encodable, read, sniff, write_payment
from adapters.pingan.route import ROUTES
from gateway.core.adapter import Adapter, Capabilities, Trust
from gateway.core.bank import DocKind, Limits

ADAPTER = Adapter(
    code="pingan",
    title="Ping An Bank B2Bi, batch and single payments",
    title_zh="平安银行银企直连 B2Bi 批量与单笔代付",
    source="B2Bi packet header and KHKF01-KHKF04, FILE01-FILE04 as in published clients (README)",
    confidence="likely",
    trust=Trust.CHANNEL,
    seal=None,
    charset=layout.CHARSET,
    limits=Limits(
        rows_max=layout.ROWS_MAX,
        document_minor_max=layout.TOTAL_MINOR_MAX,
        name_bytes_max=32,
        account_chars_max=20,
        purpose_bytes_max=30,
        document_bytes_max=16 * 1024 * 1024,
    ),
    capabilities=Capabilities(
        writes=frozenset({DocKind.PAYMENT}),
        reads=frozenset({DocKind.RECEIPT, DocKind.ANSWER, DocKind.RESULT, DocKind.PAYMENT, DocKind.INQUIRY}),
    ),
    routes=ROUTES,
    codes=CODES,
    file_name="{reference}.txt",
    write_payment=write_payment,
    write_inquiry=None,
    read=read,
    sniff=sniff,
    judge=judge,
    encodable=encodable,
    options=layout.Options,
)
