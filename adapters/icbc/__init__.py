"""icbc: PAYPER through the bank's own client program (NetSafe Client) on the bureau's network: its sign port, then its port that sends.

After published interface material, not certified by the bank; README.md says which field of ours is which of theirs.
"""

from __future__ import annotations

from adapters.icbc.codes import CODES, judge
from adapters.icbc.layout import LIMITS, Options, write_payment
from adapters.icbc.reading import read, sniff
from adapters.icbc.route import ROUTES
from adapters.standards.gbk_xml import CHARSET, encodable
from gateway.core.adapter import Adapter, Capabilities, Trust
from gateway.core.bank import DocKind

ADAPTER = Adapter(
    code="icbc",
    title="ICBC direct link, payments to persons (PAYPER)",
    title_zh="工商银行银企互联财务室付款（PAYPER）",
    source="PAYPER and QPAYPER 0.0.1.0 as public client programs write and read them (CMPSimulator, com.chd.base.InternetBank.icbc)",
    confidence="likely",
    trust=Trust.CHANNEL,
    seal=None,
    charset=CHARSET,
    limits=LIMITS,
    capabilities=Capabilities(
        writes=frozenset({DocKind.PAYMENT}),
        reads=frozenset({DocKind.PAYMENT, DocKind.RECEIPT, DocKind.RESULT, DocKind.ANSWER, DocKind.INQUIRY}),
    ),
    routes=ROUTES,
    codes=CODES,
    file_name="PAYPER_{customer}_{reference}.xml",
    write_payment=write_payment,
    write_inquiry=None,
    read=read,
    sniff=sniff,
    judge=judge,
    encodable=encodable,
    options=Options,
)
