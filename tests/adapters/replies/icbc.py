"""What the bank's client program answers: a signature, the word on a package, on what became of one."""

from __future__ import annotations

import base64

from gateway.core.route import Answer, Post, Request, SealedDocument

SIGNED = Answer(
    200,
    "<html><head><title>签名结果</title><result>0</result></head><body><sign>\nTUlJ\nQUFB\n</sign></body></html>".encode(
        "gbk"
    ),
    "INFOSEC_SIGN_RESULT/1.0",
)


def package(code: str, number: str, body: str, ret: str = "0", words: str = "") -> str:
    """The bank's package."""
    return (
        f'<?xml  version="1.0" encoding="GB2312" ?>\n<CMS><eb><pub><TransCode>{code}</TransCode><fSeqno>{number}</fSeqno>'
        f"<SerialNo>CMN750958568</SerialNo><RetCode>{ret}</RetCode><RetMsg>{words}</RetMsg></pub>{body}</eb></CMS>"
    )


def wrapped(text: str) -> Answer:
    """As the client program gives it, with line ends inside the base64."""
    body = base64.encodebytes(text.encode("gbk"))
    return Answer(200, b"reqData=" + body, "text/xml")


def detail(number: int, key: int | str, result: str, more: str = "", *, asked: bool = False) -> str:
    """One payment, as it is taken or as it is asked about."""
    own = (
        f"<iSeqno>1</iSeqno><QryiSeqno>{number}</QryiSeqno><QryOrderNo>{number}</QryOrderNo>"
        if asked
        else f"<iSeqno>{number}</iSeqno>"
    )
    return (
        f"<rd>{own}<RecAccNo>9900010000000000017</RecAccNo><RecAccNameCN>张三</RecAccNameCN><CurrType>001</CurrType><PayAmt>184000</PayAmt>"
        f"<Ref>{key}</Ref><ERPSqn>{key}</ERPSqn><Result>{result}</Result>{more}</rd>"
    )


def taken(number: str, result: str = "0") -> Answer:
    """The package was taken."""
    return wrapped(package("PAYPER", number, f"<out><OnlBatF>1</OnlBatF>{detail(1, 7, result)}</out>"))


def asked(original: str, *rows: str) -> Answer:
    """What became of it."""
    return wrapped(
        package(
            "QPAYPER", "Q1", f"<out><QryfSeqno>{original}</QryfSeqno><BatRetCode>0</BatRetCode>{''.join(rows)}</out>"
        )
    )


def refused(code: str, ret: str, words: str) -> Answer:
    """Another RetCode than 0."""
    return wrapped(package(code, "R1", "", ret, words))


def replies(request: Request, document: SealedDocument) -> list[Answer]:
    """Typical answers, best first."""
    if not isinstance(request, Post):
        return []
    if request.content_type == "INFOSEC_SIGN/1.0":
        return [SIGNED, Answer(200, SIGNED.body.replace(b"<result>0<", b"<result>-1<"))]
    if b"TransCode=PAYPER&" in request.body:
        return [
            taken(document.reference),
            refused("PAYPER", "B0012", "指令包序列号为空或重复"),
            Answer(200, b"errorCode=-1"),
        ]
    return [
        asked(document.reference, detail(1, 7, "7", asked=True)),
        refused("QPAYPER", "B0116", "没有符合条件的记录"),
        asked(document.reference),
    ]
