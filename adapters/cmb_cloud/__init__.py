"""cmb_cloud: the CDC cloud direct link, JSON over HTTPS, signed with SM2 in the body's own slot and hidden with SM4.

After published interface material, not certified by the bank; README.md says which field of ours is which of theirs.
"""

from __future__ import annotations

from adapters.cmb_cloud.codes import CODES, judge
from adapters.cmb_cloud.envelope import SEAL
from adapters.cmb_cloud.layout import CHARSET, LIMITS, Options, encodable, write_pairs, write_payment
from adapters.cmb_cloud.reading import read, sniff
from adapters.cmb_cloud.route import ROUTES
from gateway.core.adapter import Adapter, Capabilities, Trust
from gateway.core.bank import DocKind

ADAPTER = Adapter(
    code="cmb_cloud",
    title="CMB CDC cloud direct link: agency payment (BB6BTHHL) and batch payment (BB1PAYBH)",
    title_zh="招行云直联：代发（BB6BTHHL）与企银批量支付（BB1PAYBH）",
    source="the bank's CDC document centre, pages of 2026-09-03 as mirrored by WXK2905821189/FINFLOW @9c9146fc and @67ff3bd1",
    confidence="certain",
    trust=Trust.SEAL,
    seal=SEAL,
    charset=CHARSET,
    limits=LIMITS,
    capabilities=Capabilities(
        writes=frozenset({DocKind.PAYMENT, DocKind.WHITELIST}),
        reads=frozenset({DocKind.PAYMENT, DocKind.RECEIPT, DocKind.RESULT, DocKind.WHITELIST}),
    ),
    routes=ROUTES,
    codes=CODES,
    file_name="CDC_{customer}_{kind}_{reference}.jsonl",
    write_payment=write_payment,
    write_inquiry=None,
    read=read,
    sniff=sniff,
    judge=judge,
    encodable=encodable,
    write_pairs=write_pairs,
    options=Options,
)
