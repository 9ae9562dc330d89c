"""The CDC cloud on the bank's side: BB6BTHHL, BB1PAYBH, their queries and the allow-list, answered over HTTP.

Written from the bank's pages, not from the adapter. Checked are the form, the user, the order of the text, the time of signing (with
``clock = "real"``), the signature, the tags, numbers and sums of parts, and references that were seen before. Parts wait in the bank's own file
until the last is there; then the order is booked as a whole.

Options: ``userid``; ``secret``, a file with the 16 characters of the SM4 key; ``page_rows``; ``clock``.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from gateway.core.verdicts import Verdict
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.cmb_cloud_crypto import Sm2, hide, show, stranger
from gateway.sandbox.config import SandboxBank
from gateway.sandbox.conversation import Asked, Said, Told, Word
from gateway.sandbox.orders import Line, Order
from gateway.sandbox.seals import SealWrong

PLACE = "__signature_sigdat__"
BEIJING = timezone(timedelta(hours=8))
PER_PART = 1_000
#: How the bank words a failure: code, text.
REASONS: dict[Verdict, tuple[str, str]] = {
    Verdict.NAME_MISMATCH: ("CMB1003", "客户名失配"),
    Verdict.ACCOUNT_UNKNOWN: ("", "CSAB051 户口不存在"),
    Verdict.CARD_LOST: ("", "账户已挂失"),
    Verdict.CARD_REPLACING: ("", "账户换卡中"),
    Verdict.ACCOUNT_CLOSED: ("", "账户已销户"),
    Verdict.ACCOUNT_BLOCKED: ("", "账户已冻结"),
    Verdict.ACCOUNT_DORMANT: ("", "长期不动户"),
    Verdict.UNKNOWN_CODE: ("ZZZ9999", "其他"),
}
_TABLES = """
CREATE TABLE IF NOT EXISTS batch (reference TEXT PRIMARY KEY, number TEXT);
CREATE TABLE IF NOT EXISTS part (reference TEXT, nth INTEGER, body TEXT, PRIMARY KEY (reference, nth));
CREATE TABLE IF NOT EXISTS yurref (yurref TEXT, batch TEXT, line INTEGER);
CREATE TABLE IF NOT EXISTS payee (number TEXT PRIMARY KEY, account TEXT UNIQUE, name TEXT, note TEXT);
"""
Body = dict[str, Any]


class Plain(Exception):
    """An error of the server itself: it is told in plain text, under a status that is not 200."""


class Refused(Exception):
    """A check of the business failed: ``FABZ002``."""


class CmbCloud:
    """One bank's server."""

    def __init__(self, config: SandboxBank, bank: Counterpart) -> None:
        if config.keys is None:
            raise ValueError("the CDC cloud is spoken only with keys")
        self._config, self._bank = config, bank
        self._userid = config.options["userid"]
        self._secret = Path(config.options["secret"]).read_bytes().strip()
        self._id = self._userid.ljust(16, "0")
        self._rows = int(config.options.get("page_rows", "500"))
        folder = Path(config.state)
        self._sm2 = Sm2(Path(config.keys.sign_key), config.keys.bureau, folder)
        self._foreign = Sm2(stranger(folder), (), folder)
        self._db = sqlite3.connect(folder / "cloud.sqlite", isolation_level=None, check_same_thread=False)
        self._db.executescript(_TABLES)
        self._functions: dict[str, Callable[[Body], Body]] = {
            "BB6BTHHL": self._agency,
            "BB6BPDQY": self._agency_told,
            "BB1PAYBH": self._batch,
            "BB1QRYBD": self._batch_told,
            "BAKOPRRVL": self._allow,
            "BAKQRYRVL": self._allowed,
        }

    def orders(self, asked: Asked) -> bool:
        """See ``Conversation``."""
        return any(word in asked.body[:100] for word in (b"FUNCODE=BB6BTHHL&", b"FUNCODE=BB1PAYBH&"))

    def reply(self, asked: Asked) -> Said:
        """See ``Conversation``."""
        try:
            message = self._opened(asked)
        except (Plain, SealWrong) as error:
            return Said(f"CDCServer:{error}".encode(), status=500)
        head = message["request"]["head"]
        code, words, body = "SUC0000", "", {}
        try:
            body = self._functions[head["funcode"]](message["request"]["body"])
        except Refused as error:
            code, words = "FABZ002", f"业务条件检查失败 {error}"
        rspid = f"{head['reqid'][:17]}0001sandbox"
        told = {"bizcode": "", "resultcode": code, "resultmsg": words, "rspid": rspid, **head}
        return self._sealed({"body": body, "head": told}, head["funcode"])

    # ------------------------------------------------------------------------------------------------------------ envelope

    def _opened(self, asked: Asked) -> Body:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode("ascii", "replace")).items()}
        if form.get("UID") != self._userid or form.get("ALG") != "SM" or form.get("FUNCODE") not in self._functions:
            raise Plain("unknown user or function")
        try:
            text = show(self._secret, base64.b64decode(form["DATA"], validate=True), self._id.encode())
            message: Body = json.loads(text)
            signature, head = message["signature"], message["request"]["head"]
            given = base64.b64decode(signature["sigdat"], validate=True)
        except (ValueError, KeyError, TypeError) as error:
            raise Plain(f"cannot be opened: {type(error).__name__}") from error
        if _ordered(message) != text:
            raise Plain("not in the agreed order")
        if head["userid"] != self._userid or head["funcode"] != form["FUNCODE"]:
            raise Plain("another user or function inside")
        if not (18 <= len(head["reqid"]) <= 51 and head["reqid"][:17].isdigit()):
            raise Plain("reqid")
        if self._config.options.get("clock") == "real":
            signed = datetime.strptime(signature["sigtim"], "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
            if abs(datetime.now(BEIJING) - signed) > timedelta(hours=1):
                raise Plain("the time of signing is more than an hour off")
        signature["sigdat"] = PLACE
        self._sm2.verify(given, _ordered(message), self._id)
        return message

    def _sealed(self, response: Body, funcode: str) -> Said:
        message: Body = {"response": response, "signature": {"sigdat": PLACE, "sigtim": "20150610093000"}}
        fault = self._config.faults.seal if funcode in ("BB6BPDQY", "BB1QRYBD") else ""
        signed = (self._foreign if fault == "foreign" else self._sm2).sign(_ordered(message), self._id)
        if fault == "flipped":
            signed = bytes([signed[0] ^ 1]) + signed[1:]
        message["signature"]["sigdat"] = "" if fault == "none" else base64.b64encode(signed).decode()
        return Said(base64.b64encode(hide(self._secret, _ordered(message), self._id.encode())))

    # -------------------------------------------------------------------------------------------------------------- parts

    def _parts(self, reference: str) -> list[Body]:
        """What of a batch is there and waits for the rest."""
        rows = self._db.execute("SELECT body FROM part WHERE reference = ? ORDER BY nth", (reference,))
        return [json.loads(body) for (body,) in rows]

    def _keep(self, reference: str, nth: int, body: Body) -> None:
        row = (reference, nth, json.dumps(body, ensure_ascii=False))
        self._db.execute("INSERT INTO part VALUES (?, ?, ?)", row)

    def _number(self, reference: str) -> str:
        """The bank's own number of a batch, made when it is first asked for."""
        self._db.execute(
            "INSERT OR IGNORE INTO batch SELECT ?, printf('BB6%07d', count(*) + 1) FROM batch", (reference,)
        )
        return str(self._db.execute("SELECT number FROM batch WHERE reference = ?", (reference,)).fetchone()[0])

    def _book(self, reference: str, date: str, account: str, lines: list[Line]) -> None:
        self._db.execute("DELETE FROM part WHERE reference = ?", (reference,))
        day = f"{date[:4]}-{date[4:6]}-{date[6:8]}"
        order = Order(
            reference=reference, batch=reference, created=f"{day}T09:00:00", pay_date=day, customer=self._config.customer,
            debit_account=account, count=len(lines), minor=sum(line[3] for line in lines),
        )  # fmt: skip
        refusal = self._bank.hear(order, lines)
        if refusal is not None:
            raise Refused(refusal.text)

    # ------------------------------------------------------------------------------------------------------------- agency

    def _agency(self, body: Body) -> Body:
        told, details = body["bb6cdcbhx1"][0], body["bb6cdcdlx1"]
        reference, first, last = told["yurref"], told["begtag"] == "Y", told["endtag"] == "Y"
        before = self._parts(reference)
        number = self._number(reference)
        if first and (before or self._bank.told(reference)):
            raise Refused("业务参考号重复")
        if not first and (not before or told["reqnbr"] != number):
            raise Refused("流程实例号不符")
        if first and told["reqnbr"]:
            raise Refused("首次上传流程实例号必须为空")
        if not 0 < len(details) <= PER_PART or len(details) != int(told["curcnt"]):
            raise Refused("本次笔数不符")
        if sum(map(_fen, (d["trsamt"] for d in details))) != _fen(told["curamt"]):
            raise Refused("本次金额不符")
        everything = [*(d for part in before for d in part["bb6cdcdlx1"]), *details]
        if len({d["trxseq"] for d in everything}) != len(everything):
            raise Refused("交易序号重复")
        if last:
            if (len(everything), sum(_fen(d["trsamt"]) for d in everything)) != (
                int(told["ttlcnt"]),
                _fen(told["ttlamt"]),
            ):
                raise Refused("总笔数或总金额不符")
            lines = [(d["cprref"], d["accnbr"], d["accnam"], _fen(d["trsamt"])) for d in everything]
            self._book(reference, told["eptdat"], told["accnbr"], lines)
        else:
            self._keep(reference, len(before), body)
        return {"bb6cdcbhz1": [{"reqnbr": number, "reqsta": "BNK" if last else "OPR"}]}

    def _agency_told(self, body: Body) -> Body:
        asked = body["bb6bpdqyy1"][0]
        reference = asked["yurref"]
        told = self._bank.told(reference)
        parts = self._parts(reference)
        if told is None and not parts:
            return {}
        if told is None:
            waiting = [d for part in parts for d in part["bb6cdcdlx1"]]
            rows = [
                {**_only(d, "trxseq", "cprref", "trsdsp", "accnbr", "accnam", "trsamt"), "stscod": "A"} for d in waiting
            ]
            head = parts[0]["bb6cdcbhx1"][0]
            batch = {
                "yurref": reference,
                "reqnbr": self._number(reference),
                "reqsta": "OPR",
                "trsnum": head["ttlcnt"],
                "totamt": head["ttlamt"],
            }
            return self._page(batch, rows, asked)
        order = told.order
        assert order is not None
        sums = {"trsnum": str(order.count), "totamt": _yuan(order.minor)}
        batch = {"yurref": reference, "reqnbr": self._number(reference), **sums}
        if told.refused:
            return {"bb6bpdqyz1": [{**batch, "reqsta": "FIN", "rtnflg": "R", "errdsp": told.why}]}
        if not all(word.told for word in told.words):
            return {"bb6bpdqyz1": [{**batch, "reqsta": "BNK"}]}
        rows = [_agency_row(word) for word in told.words]
        return self._page({**batch, "reqsta": "FIN", "rtnflg": "S"}, rows, asked)

    def _page(self, batch: dict[str, str], rows: list[dict[str, str]], asked: dict[str, str]) -> Body:
        start = int(asked.get("trxseq") or 0)
        body: Body = {"bb6bpdqyz1": [batch], "bb6bpdqyz2": rows[start : start + self._rows]}
        if start + self._rows < len(rows):
            body["bb6bpdqyy1"] = [{"bthnbr": "0000000001", "trxseq": f"{start + self._rows:08d}"}]
        return body

    # -------------------------------------------------------------------------------------------------------------- batch

    def _batch(self, body: Body) -> Body:
        told, details = body["bb1bmdbhx1"][0], body["bb1paybhx1"]
        reference = told["bthNbr"]
        before = self._parts(reference)
        first = told["ctnFlg"] == "N" or told["ctnSts"] == "1"
        last = told["ctnFlg"] == "N" or told["ctnSts"] == "3"
        if first == bool(before) or (first and self._bank.told(reference)):
            raise Refused("批次编号重复或续传状态不符")
        if not 0 < len(details) <= PER_PART:
            raise Refused("笔数不符")
        for record in details:
            self._unused(record["yurRef"])
            if record["rcvChk"] != "1" or record["ctrNbr"] != "N/A" or record["bnkFlg"] != "Y":
                raise Refused(f"{record['yurRef']} 要素不符")
        everything = [*(d for part in before for d in part["bb1paybhx1"]), *details]
        if last:
            if len(everything) != int(told["dtlNbr"]):
                raise Refused("总明细笔数不符")
            lines = [(d["crtSqn"], d["crtAcc"], d["crtNam"], _fen(d["trsAmt"])) for d in everything]
            self._book(reference, details[0]["eptDat"], details[0]["dbtAcc"], lines)
            marks = [(d["yurRef"], reference, number) for number, d in enumerate(everything)]
            self._db.executemany("INSERT INTO yurref VALUES (?, ?, ?)", marks)
        else:
            self._keep(reference, len(before), body)
        return {"bb1paybhz1": [{"bthNbr": reference, "reqSts": "BNK" if last else "OPR", "rtnFlg": ""}]}

    def _unused(self, yurref: str) -> None:
        """A reference may come again only once the payment under it is final and was not paid."""
        for batch, line in self._db.execute("SELECT batch, line FROM yurref WHERE yurref = ?", (yurref,)).fetchall():
            told = self._bank.told(batch)
            word = told.words[line] if told is not None and line < len(told.words) else None
            if word is None or not word.told or (word.booked.verdict is None and word.returned is None):
                raise Refused(f"业务参考号{yurref}重复")

    def _batch_told(self, body: Body) -> Body:
        asked = body["bb1qrybdy1"][0]
        reference = asked["bthNbr"]
        told = self._bank.told(reference)
        marks = {}
        if told is not None:
            query = "SELECT line, yurref FROM yurref WHERE batch = ?"
            marks = {int(line): str(yurref) for line, yurref in self._db.execute(query, (reference,))}
            rows = [_batch_row(word, reference, marks.get(word.line - 1, ""), told) for word in told.words]
        else:
            waiting = [d for part in self._parts(reference) for d in part["bb1paybhx1"]]
            rows = [{**_only(d, "crtSqn", "yurRef", "trsAmt"), "bthNbr": reference, "reqSts": "OPR"} for d in waiting]
        start = int(asked.get("ctnKey") or 0)
        more = {"ctnKey": str(start + self._rows)} if start + self._rows < len(rows) else {}
        return (
            {"bb1qrybdz1": rows[start : start + self._rows], "bb1qrybdy1": [{"bthNbr": reference, **more}]}
            if rows
            else {}
        )

    # --------------------------------------------------------------------------------------------------------- allow-list

    def _allow(self, body: Body) -> Body:
        entries = body["BAKOPRRVLX1"]
        if not 0 < len(entries) <= PER_PART:
            raise Refused("笔数不符")
        told = []
        for entry in entries:
            if (entry["oprTyp"] == "A") == bool(entry["crtSqn"]):
                raise Refused("收方编号不符")
            many = self._db.execute("SELECT coalesce(max(rowid), 0) FROM payee").fetchone()[0]
            number = entry["crtSqn"] or f"DRT{many + 1:07d}"
            if entry["oprTyp"] == "D":
                self._db.execute("DELETE FROM payee WHERE number = ?", (number,))
            else:
                row = (number, entry["crtAcc"], entry["crtNam"], entry["rsv30z"])
                self._db.execute("INSERT OR REPLACE INTO payee VALUES (?, ?, ?, ?)", row)
            told.append(
                {"reqNbr": f"BAK{number}", "reqSta": "FIN", "oprSqn": "001", "oprAls": "", "rsv30z": entry["rsv30z"]}
            )
        return {"BAKOPRRTNZ": told}

    def _allowed(self, body: Body) -> Body:
        after = (body.get("BAKQRYRVLY") or [{}])[0].get("yCrtSqn", "")
        query = "SELECT number, account, name, note FROM payee WHERE number > ? ORDER BY number LIMIT 201"
        rows = self._db.execute(query, (after,)).fetchall()
        listed = [
            {"yCrtSqn": number, "yCrtAcc": account.ljust(35), "yCrtNam": name, "yRsv30z": note}
            for number, account, name, note in rows[:200]
        ]
        return {"BAKRVLIN2Y": listed, "BAKQRYRVLY": [{"yCrtSqn": listed[-1]["yCrtSqn"]} if len(rows) > 200 else {}]}


def _agency_row(word: Word) -> dict[str, str]:
    line = word.booked
    code, text = ("", "") if line.verdict is None else REASONS.get(line.verdict, ("", ""))
    return {
        "trxseq": f"{word.line:08d}", "accnbr": line.account, "accnam": line.name, "trsamt": _yuan(line.minor), "trsdsp": line.reference,
        "stscod": "S" if line.verdict is None else "E", "errcod": code, "errtxt": line.text or text,
    }  # fmt: skip


def _batch_row(word: Word, reference: str, yurref: str, told: Told) -> dict[str, str]:
    line = word.booked
    verdict = word.returned or line.verdict
    code, text = ("", "") if verdict is None else REASONS.get(verdict, ("", ""))
    state, flag = ("FIN", "B" if word.returned else "F" if line.verdict else "S") if word.told else ("BNK", "")
    if told.refused:
        state, flag, text = "FIN", "R", told.why
    return {
        "bthNbr": reference, "crtAcc": line.account, "crtNam": line.name, "crtSqn": line.reference, "yurRef": yurref,
        "trsAmt": _yuan(line.minor), "reqSts": state, "rtnFlg": flag, "errCod": code, "errTxt": line.text or text, "reqNbr": "B100000001",
    }  # fmt: skip


def _only(record: dict[str, str], *names: str) -> dict[str, str]:
    return {name: record[name] for name in names}


def _ordered(message: Body) -> bytes:
    return json.dumps(message, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _fen(text: str) -> int:
    whole, _, part = text.partition(".")
    if len(part) != 2:
        raise Refused(f"金额 {text}")
    return int(whole + part)


def _yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


CONVERSATION = CmbCloud
