"""A bank that is talked to: orders are booked once, results are told when they are asked for, and the door's faults do what they say."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest

from gateway.core.bank import DuplicateAnswer
from gateway.core.verdicts import Verdict
from gateway.sandbox.bank import RELEASE, Counterpart
from gateway.sandbox.books import payments, summary
from gateway.sandbox.config import Answers, Faults, HttpWire, SandboxBank
from gateway.sandbox.conversation import Asked, Said
from gateway.sandbox.http_door import HttpDoor
from gateway.sandbox.orders import Line, Order
from gateway.sandbox.runner import BanksFailed, Running, Sandbox
from tests.edge.https_bank import Authority
from tests.sandbox.bureau import CUSTOMER, DEBIT

LINES: list[Line] = [(str(n), f"99000{n}", f"张{n}", 100 + n) for n in range(1, 5)]


class Plain:
    """A format for the test: ``{"pay": reference, "lines": [...]}`` and ``{"ask": reference}``."""

    def __init__(self, bank: Counterpart) -> None:
        self.bank = bank
        self.heard = 0

    def orders(self, asked: Asked) -> bool:
        return b'"pay"' in asked.body

    def reply(self, asked: Asked) -> Said:
        self.heard += 1
        body = msgspec.json.decode(asked.body)
        if "pay" in body:
            lines = [(line[0], line[1], line[2], line[3]) for line in body["lines"]]
            refusal = self.bank.hear(order(body["pay"], lines), lines)
            return Said(b"taken" if refusal is None else refusal.verdict.encode())
        told = self.bank.told(body["ask"])
        if told is None:
            return Said(b"unknown", status=404)
        if told.refused:
            return Said(told.refused.encode())
        words = [[w.line, w.booked.reference, w.booked.minor, w.told, w.booked.verdict, w.returned] for w in told.words]
        return Said(msgspec.json.encode(words), "application/json")


def order(reference: str, lines: list[Line]) -> Order:
    """Of these lines."""
    return Order(
        reference=reference, batch="B", created="2015-06-10T09:00:00", pay_date="2015-06-10", customer=CUSTOMER, debit_account=DEBIT,
        count=len(lines), minor=sum(line[3] for line in lines),
    )  # fmt: skip


class Desk(NamedTuple):
    """The bank, what it speaks, and how to ask it."""

    bank: Counterpart
    speaker: Plain
    state: Path
    ask: Callable[..., Awaitable[tuple[int, Any]]]

    async def pay(self, reference: str = "R1", lines: list[Line] = LINES) -> tuple[int, Any]:
        """Order."""
        return await self.ask({"pay": reference, "lines": lines})

    async def words(self, reference: str = "R1") -> Any:
        """What is told of it."""
        return (await self.ask({"ask": reference}))[1]


Make = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Make]:
    """Open a bank with these settings."""
    async with AsyncExitStack() as stack:

        async def make(wire: HttpWire | None = None, tls: ssl.SSLContext | None = None, **settings: Any) -> Desk:
            wire = wire or HttpWire()
            config = SandboxBank(
                code="BANKA", adapter="any", customer=CUSTOMER, wire=wire, keys=None, state=str(tmp_path / "state"), **settings
            )  # fmt: skip
            bank = Counterpart(config, None, now="2015-06-10T09:00:00")
            stack.callback(bank.close)
            speaker = Plain(bank)
            door = HttpDoor(wire, config.faults, bank, speaker, asyncio.Event())
            url = str((await door.open())["url"])
            stack.push_async_callback(door.close)
            session = await stack.enter_async_context(aiohttp.ClientSession())

            async def ask(body: object) -> tuple[int, Any]:
                async with session.post(url + "/any/path", data=msgspec.json.encode(body), ssl=tls or True) as reply:
                    text = await reply.read()
                    return reply.status, msgspec.json.decode(text) if reply.content_type.endswith("json") else text

            return Desk(bank, speaker, tmp_path / "state", ask)

        yield make


def paid(desk: Desk) -> tuple[int, int]:
    """How many payments stand in the books, and how many twice."""
    books = summary(desk.state)
    return books["paid"]["count"], books["doubles"]


async def test_an_order_is_booked_and_told(desk: Make, tmp_path: Path) -> None:
    """Every line, with the failure that the scenario has for its account."""
    scenario = tmp_path / "scenario.json"
    scenario.write_bytes(
        msgspec.json.encode(
            {
                "accounts": {
                    "990002": {"verdict": "CARD_LOST"},
                    "990003": {"verdict": "PAID", "returns": "ACCOUNT_CLOSED"},
                }
            }
        )
    )
    bank = await desk(scenario=str(scenario))
    assert await bank.pay() == (200, b"taken")
    assert await bank.words() == [
        [1, "1", 101, True, None, None],
        [2, "2", 102, True, Verdict.CARD_LOST, None],
        [3, "3", 103, True, None, Verdict.ACCOUNT_CLOSED],
        [4, "4", 104, True, None, None],
    ]
    assert (await bank.ask({"ask": "R2"}))[0] == 404
    assert paid(bank) == (2, 0)
    assert {payment.reference: payment.returned for payment in payments(bank.state)} == {"1": 0, "2": 0, "3": 1, "4": 0}


async def test_results_wait_until_they_are_due(desk: Make) -> None:
    """Booked at once, told later; and only once released, where they are held."""
    bank = await desk(hold_results=True)
    await bank.pay()
    assert [word[3] for word in await bank.words()] == [False] * 4
    (bank.state / RELEASE).touch()
    assert [word[3] for word in await bank.words()] == [True] * 4
    later = await desk(answers=Answers(delay_s=60))
    await later.pay("R2")
    assert [word[3] for word in await later.words("R2")] == [False] * 4


async def test_the_same_order_again(desk: Make) -> None:
    """As the agreement has it: refused, or taken without a second booking, or booked twice where nobody looks."""
    bank = await desk()
    assert [(await bank.pay())[1] for _ in range(2)] == [b"taken", Verdict.DUPLICATE.encode()]
    assert paid(bank) == (4, 0)
    bank = await desk(answers=Answers(duplicate=DuplicateAnswer.FIRST_RESULT))
    assert [(await bank.pay("R2"))[1] for _ in range(2)] == [b"taken", b"taken"]
    assert paid(bank) == (8, 4)  # the references of the lines are those of the first order: the same money twice
    bank = await desk(answers=Answers(duplicate=DuplicateAnswer.NO_DEDUPE))
    assert [(await bank.pay("R3"))[1] for _ in range(2)] == [b"taken", b"taken"]
    assert paid(bank) == (16, 4)


async def test_lies(desk: Make) -> None:
    """The faults of results are told in words too."""
    bank = await desk(faults=Faults(wrong_amount=1, unknown_code=1, foreign_reference=1, documents=(1,)))
    await bank.pay()
    told = await bank.words()
    assert told[0][2] == 102
    assert told[1][4] == Verdict.UNKNOWN_CODE
    assert told[2][1].startswith("9999")
    await bank.pay("R2", [("9", "990009", "张", 1)])
    assert await bank.words("R2") == [[1, "9", 1, True, None, None]]
    turned = await desk(faults=Faults(contradict=1, documents=(3,)))
    await turned.pay("R3", LINES)
    assert [word[4] for word in await turned.words("R3")] == [Verdict.ACCOUNT_BLOCKED, None, None, None]


async def test_an_order_is_refused_as_a_whole_after_it_was_taken(desk: Make) -> None:
    """How a bank tells that the account lacks the money."""
    bank = await desk(faults=Faults(file_refusal="FUNDS"))
    assert await bank.pay() == (200, b"taken")
    assert await bank.words() == Verdict.FUNDS.encode()
    assert paid(bank) == (0, 0)


async def test_an_order_is_lost(desk: Make) -> None:
    """Taken and never seen again; or booked and never spoken of."""
    bank = await desk(faults=Faults(drop="file", documents=(1,)))
    assert await bank.pay() == (200, b"taken")
    assert (await bank.ask({"ask": "R1"}))[0] == 404
    silent = await desk(faults=Faults(drop="answers", documents=(2,)))
    await silent.pay("R2")
    assert [word[3] for word in await silent.words("R2")] == [False] * 4


async def test_the_faults_of_the_door(desk: Make) -> None:
    """Only orders are touched: an error is not looked at, a lost reply is booked."""
    bank = await desk(faults=Faults(http_errors=(1,), http_lost_replies=(2,), documents=(99,)))
    assert (await bank.ask({"ask": "R1"}))[0] == 404
    status, text = await bank.pay()
    assert (status, text) == (500, b"system busy, please try again later")
    assert bank.speaker.heard == 1
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await bank.pay()
    assert len(await bank.words()) == 4
    assert await bank.pay("R2") == (200, b"taken")


async def test_tls_with_a_client_certificate(desk: Make, tmp_path: Path) -> None:
    """Nobody without one of the bureau's is listened to."""
    authority, clients = Authority(), Authority("Clients")
    shown, mine = authority.issue("bank"), clients.issue("bureau", hosts=())
    paths = {"crt": shown.pem, "key": shown.key_pem, "clients": clients.own.pem, "mine": mine.key_pem + mine.pem}
    for name, pem in paths.items():
        (tmp_path / name).write_bytes(pem)
    wire = HttpWire(certificate=str(tmp_path / "crt"), key=str(tmp_path / "key"), clients=str(tmp_path / "clients"))
    tls = ssl.create_default_context(cadata=authority.own.pem.decode())
    bank = await desk(wire, tls)
    with pytest.raises((aiohttp.ClientError, OSError)):
        await bank.pay()
    tls.load_cert_chain(tmp_path / "mine")
    assert await bank.pay() == (200, b"taken")


def test_a_format_goes_through_its_own_kind_of_door(tmp_path: Path) -> None:
    """A format of files over HTTP, or one that nobody speaks, is told when the process starts."""
    for adapter, wire in (("iso20022", HttpWire()), ("no_such", HttpWire())):
        config = SandboxBank(
            code="B", adapter=adapter, customer="C", wire=wire, keys=None, state=str(tmp_path / adapter)
        )
        with pytest.raises(BanksFailed, match=adapter):
            Running(Sandbox(banks=(config,)), tmp_path / adapter).start()
