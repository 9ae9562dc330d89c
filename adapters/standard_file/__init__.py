"""standard_file: our own file specification, for banks that let the bureau define the format.

Source: schemas/standard_file.md (中文: schemas/standard_file.zh-CN.md). GB18030, ``|`` between fields, LF; header,
lines, trailer with count, sum and SHA-256; six kinds of file; a detached CMS seal beside each.
"""

from __future__ import annotations

from adapters.standard_file import layout
from adapters.standard_file.codes import CODES, judge
from adapters.standard_file.kinds import DOC_KINDS
from adapters.standard_file.reading import read, sniff
from adapters.standard_file.route import ROUTES, SEAL
from adapters.standard_file.writing import write_inquiry, write_payment
from gateway.core.adapter import Adapter, Capabilities, Trust
from gateway.core.bank import DocKind, Limits

ADAPTER = Adapter(
    code="standard_file",
    title="Sheyin standard file",
    title_zh="社银标准文件",
    source="schemas/standard_file.md, version 1",
    confidence="own",
    trust=Trust.SEAL,
    seal=SEAL,
    charset=layout.CHARSET,
    limits=Limits(
        rows_max=100_000,
        name_bytes_max=layout.NAME_BYTES_MAX,
        account_chars_max=layout.ACCOUNT_CHARS_MAX,
        purpose_bytes_max=layout.PURPOSE_BYTES_MAX,
        document_bytes_max=64 * 1024 * 1024,  # 100,000 of the longest payment lines have 41 MB
    ),
    capabilities=Capabilities(
        writes=frozenset({DocKind.PAYMENT, DocKind.INQUIRY}),
        reads=frozenset(DOC_KINDS.values()),
    ),
    routes=ROUTES,
    codes=CODES,
    file_name="SY1_{kind}_{customer}_{date}_{reference}.txt",
    write_payment=write_payment,
    write_inquiry=write_inquiry,
    read=read,
    sniff=sniff,
    judge=judge,
    encodable=layout.PAYMENT.unfit,
)
