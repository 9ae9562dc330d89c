"""What a bank or clearing centre sends, written by hand from the element trees: the envelope, the slot, the XML. The signatures are no signatures."""

from __future__ import annotations

ORIGINAL = "BANKA2015061000001"
SLOT = b"{S:MEUCIQCd0z3Z\r\nAAAAAAAA}\r\n"
GROUP = (
    "<GrpHdr><MsgId>2015061000000017</MsgId><CreDtTm>2015-06-10T10:00:00</CreDtTm><InstgPty><InstgDrctPty>999584000017</InstgDrctPty>"
    "<InstgPty>999584000017</InstgPty></InstgPty><InstdPty><InstdDrctPty>313584000012</InstdDrctPty><InstdPty>440600001</InstdPty></InstdPty>"
    "<SysCd>BEPS</SysCd></GrpHdr>"
)
GROUP_SIGNED = "2015061000000017|2015-06-10T10:00:00|999584000017|999584000017|313584000012|440600001|BEPS|"
ASKED = (
    "<OrgnlGrpHdr><OrgnlMsgId>BANKA2015061000001</OrgnlMsgId><OrgnlInstgPty>440600001</OrgnlInstgPty><OrgnlMT>beps.382.001.01</OrgnlMT>"
    "</OrgnlGrpHdr>"
)
TRANSPORTED = (
    f"<OrigSndr>313584000012</OrigSndr><OrigSndDt>20150610</OrigSndDt><MT>beps.382.001.01</MT><MsgId>{ORIGINAL}</MsgId>"
)


def enveloped(message: str, body: str, *, slot: bytes | None = SLOT, identity: str = "20150610000000000017") -> bytes:
    """A message in its envelope; ``slot`` None leaves the signature's place out."""
    family = message[:4]
    head = f"{{H:02{'999584000017':<14}{family.upper()}{'313584000012':<14}{family.upper()}20150610100000XML{message:<20}{identity:<20}{'':20}3DXN"
    space = f"urn:cnaps:std:{family}:2010:tech:xsd:{message}"
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{space}">{body}</Document>'
    return f"{head:<129}}}\r\n".encode() + (slot or b"") + xml.encode()


def detail(
    key: int, status: str = "PR02", code: str = "", words: str = "", *, name: str = "张三", amount: str = "1840.00"
) -> str:
    """One line of a 383."""
    why = (f"<RjctCd>{code}</RjctCd>" if code else "") + (f"<RjctInf>{words}</RjctInf>" if words else "")
    return (
        f"<SndgDtls><RspnInf><Sts>{status}</Sts>{why}</RspnInf><TxId>{key}</TxId><Cdtr><Nm>{name}</Nm></Cdtr>"
        f"<CdtrAcct><Id><Othr><Id>9900010000000000017</Id></Othr></Id></CdtrAcct><BrnchId>999584000017</BrnchId>"
        f'<Amt Ccy="CNY">{amount}</Amt></SndgDtls>'
    )


def reply(*details: str, slot: bytes | None = SLOT, group: str = GROUP) -> bytes:
    """A 383 that answers two payments of 1,840.00."""
    return enveloped(
        "beps.383.001.01",
        f"<BtchPmtByAgcyRspn>{group}<OrgnlMsgInf><OrgnlMsgId>{ORIGINAL}</OrgnlMsgId><OrgnlInstgPty>440600001</OrgnlInstgPty>"
        '<OrgnlBtchNb>00000001</OrgnlBtchNb><OrgnlTtlAmt Ccy="CNY">3680.00</OrgnlTtlAmt><OrgnlTtlNb>2</OrgnlTtlNb></OrgnlMsgInf>'
        "<NPCPrcInf><PrcSts>PR05</PrcSts><PrcCd>CB1I0000</PrcCd></NPCPrcInf>"
        '<BtchPmtByAgcyRspnInf><SndgTtlAmt Ccy="CNY">1840.00</SndgTtlAmt><SndgTtlNb>1</SndgTtlNb>'
        "<DbtrAgt><BrnchId><Id>999584000017</Id></BrnchId></DbtrAgt><Dbtr><Nm>某市社会保险基金管理局</Nm></Dbtr>"
        f"<DbtrAcct><Id><Othr><Id>9900100000000000123</Id></Othr></Id></DbtrAcct>{''.join(details)}</BtchPmtByAgcyRspnInf></BtchPmtByAgcyRspn>",
        slot=slot,
    )


REPLY_SIGNED = (
    f"{GROUP_SIGNED}{ORIGINAL}|440600001|00000001|CNY3680.00|2|CNY1840.00|1|999584000017|某市社会保险基金管理局|9900100000000000123|"
    "PR02|1433899200000001|欧阳娜娜|9900010000000000017|999584000017|CNY1840.00|"
    "PR09|RJ90|1433899200000002|张三|9900010000000000017|999584000017|CNY1840.00|"
)
REPLY = reply(detail(1433899200000001, name="欧阳娜娜"), detail(1433899200000002, "PR09", "RJ90", "卡已挂失"))


def confirmation(status: str, *, party: str = "", code: str = "", words: str = "") -> bytes:
    """A ccms.900."""
    told = (("PrcSts", status), ("PrcCd", code), ("PtyPrcCd", party), ("RjctInf", words))
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in told if text)
    return enveloped("ccms.900.001.02", f"<CmonConf>{GROUP}{ASKED}<CmonConfInf>{inner}</CmonConfInf></CmonConf>")


def discarded(words: str = "") -> bytes:
    """A ccms.911, which has no signature."""
    more = f"<RjctInf>{words}</RjctInf>" if words else ""
    inner = f"{TRANSPORTED}<PrcCd>XX1E0001</PrcCd>{more}"
    return enveloped("ccms.911.001.02", f"<DscrdMsgNtfctn><DscrdInf>{inner}</DscrdInf></DscrdMsgNtfctn>", slot=None)


def arrived(code: str = "PM1I0000") -> bytes:
    """A ccms.990, which has no signature."""
    inner = f"{TRANSPORTED}<MsgPrcCd>{code}</MsgPrcCd>"
    return enveloped("ccms.990.001.02", f"<ComConf><ConfInf>{inner}</ConfInf></ComConf>", slot=None)


def account(name: str, status: str, code: str = "", state: str = "") -> str:
    """One line of a 395."""
    why = f"<RjctCd>{code}</RjctCd>" if code else ""
    told = f"<AcctSts>{state}</AcctSts>" if state else ""
    return (
        f"<AcctDtls><Id>9900010000000000017</Id><Nm>{name}</Nm><RspnInf><Sts>{status}</Sts>{why}</RspnInf>{told}"
        "<AcctBk>999584000017</AcctBk></AcctDtls>"
    )


def accounts(*lines: str) -> bytes:
    """A 395."""
    return enveloped(
        "beps.395.001.01",
        f"<BtchCstmrsAcctQryRspn>{GROUP}{ASKED.replace('382', '394')}<BtchCstmrsAcctQryRspnInf><AcctCnt>{len(lines)}</AcctCnt>"
        f"{''.join(lines)}</BtchCstmrsAcctQryRspnInf></BtchCstmrsAcctQryRspn>",
    )
