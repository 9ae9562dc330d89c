"""cnaps2: messages of the second-generation payment system of the People's Bank of China, for a bank or clearing centre that speaks them for us.

Batch payment by agency (382, 383), batch account query (394, 395), confirmations (900, 990) and discards (911). After published material; see
README.md. Not certified by anybody.
"""

from __future__ import annotations

from adapters.cnaps2 import layout
from adapters.cnaps2.codes import CODES, judge
from adapters.cnaps2.reading import read, sniff
from adapters.cnaps2.route import ROUTES
from gateway.core.adapter import Adapter, Capabilities, Trust
from gateway.core.bank import DocKind

ADAPTER = Adapter(
    code="cnaps2",
    title="CNAPS second generation: batch payment by agency (beps.382)",
    title_zh="第二代支付系统批量代付（beps.382）",
    source="element trees, envelope and signed strings as seen in caijianfang/zcbs-cnaps develop 6d3a475 and happyjianguo/tpp-root feature_beps",
    confidence="likely",
    trust=Trust.SEAL,
    seal=layout.SEAL,
    charset=layout.CHARSET,
    limits=layout.LIMITS,
    capabilities=Capabilities(
        writes=frozenset({DocKind.PAYMENT, DocKind.NAME_CHECK}),
        reads=frozenset({DocKind.PAYMENT, DocKind.RECEIPT, DocKind.RESULT, DocKind.NAME_CHECK}),
    ),
    routes=ROUTES,
    codes=CODES,
    file_name="{customer}_{kind}_{reference}.txt",
    write_payment=layout.write_payment,
    write_inquiry=None,
    write_check=layout.write_check,
    read=read,
    sniff=sniff,
    judge=judge,
    encodable=layout.encodable,
    options=layout.Options,
)
