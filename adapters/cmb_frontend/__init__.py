"""cmb_frontend: the bank's front-end machine on the bureau's own network, spoken to in CMBSDKPGK messages over HTTP; it signs and encrypts.

After published interface material, not certified by the bank; README.md says which field of ours is which of theirs.
"""

from __future__ import annotations

from adapters.cmb_frontend.codes import CODES, judge
from adapters.cmb_frontend.layout import LIMITS, Options, write_payment
from adapters.cmb_frontend.reading import read, sniff
from adapters.cmb_frontend.route import ROUTES
from adapters.standards.gbk_xml import CHARSET, encodable
from gateway.core.adapter import Adapter, Capabilities, Trust
from gateway.core.bank import DocKind

ADAPTER = Adapter(
    code="cmb_frontend",
    title="CMB front-end agency payments (NTAGCAPY)",
    title_zh="招商银行前置机大批量代发（NTAGCAPY）",
    source="China Merchants Bank, enterprise direct link interface document 5.37.0, as quoted by sinri/CMBFirmBankSDK @2f3d208c",
    confidence="likely",
    trust=Trust.CHANNEL,
    seal=None,
    charset=CHARSET,
    limits=LIMITS,
    capabilities=Capabilities(
        writes=frozenset({DocKind.PAYMENT}),
        reads=frozenset(
            {
                DocKind.PAYMENT,
                DocKind.RECEIPT,
                DocKind.ANSWER,
                DocKind.RESULT,
                DocKind.RETURN,
                DocKind.WHITELIST,
                DocKind.INQUIRY,
            }
        ),
    ),
    routes=ROUTES,
    codes=CODES,
    file_name="NTAGCAPY_{customer}_{reference}.xml",
    write_payment=write_payment,
    write_inquiry=None,
    read=read,
    sniff=sniff,
    judge=judge,
    encodable=encodable,
    options=Options,
)
