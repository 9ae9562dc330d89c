"""ISO 20022 over files: pain.001.001.09 and acmt.023 out, pain.002, camt.054 and acmt.024 in, business header with an enveloped signature.

After published ISO 20022 material; README.md says which field of ours is which of theirs.
"""

from __future__ import annotations

from adapters.iso20022.codes import CODES, judge
from adapters.iso20022.layout import (
    CHARSET,
    LIMITS,
    SEAL,
    Options,
    encodable,
    read,
    sniff,
    write_check,
    write_payment,
)
from adapters.iso20022.route import ROUTES
from gateway.core.adapter import Adapter, Capabilities, Trust
from gateway.core.bank import DocKind

ADAPTER = Adapter(
    code="iso20022",
    title="ISO 20022 customer credit transfers (pain.001.001.09)",
    title_zh="ISO 20022 客户贷记转账（pain.001.001.09）",
    source="ISO 20022 message definitions and external code sets 2Q2026, https://www.iso20022.org",
    confidence="certain",
    trust=Trust.SEAL,
    seal=SEAL,
    charset=CHARSET,
    limits=LIMITS,
    capabilities=Capabilities(
        writes=frozenset({DocKind.PAYMENT, DocKind.NAME_CHECK}),
        reads=frozenset(
            {
                DocKind.RECEIPT,
                DocKind.RESULT,
                DocKind.RETURN,
                DocKind.STATEMENT,
                DocKind.PAYMENT,
                DocKind.NAME_CHECK,
            }
        ),
    ),
    routes=ROUTES,
    codes=CODES,
    file_name="{customer}_{kind}_{date}_{seq}.xml",
    write_payment=write_payment,
    write_inquiry=None,
    write_check=write_check,
    read=read,
    sniff=sniff,
    judge=judge,
    encodable=encodable,
    options=Options,
)
