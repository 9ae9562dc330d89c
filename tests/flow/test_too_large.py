"""A message above the cap (A5): whoever sent it is told, its bytes are kept, nothing of it is taken."""

from __future__ import annotations

import json

import pytest

from gateway.core.errors import Code
from gateway.core.ports import Message
from gateway.flow.reading import BODY_BYTES_MAX
from tests.flow.house import PAYER, House


class Given:
    """A delivery that remembers what became of it."""

    queue, redelivered = "gateway.intake", False

    def __init__(self, message: Message) -> None:
        self.message = message
        self.done: list[str] = []

    async def ack(self) -> None:
        self.done.append("ack")

    async def reject(self, reason: str) -> None:
        self.done.append(reason)

    async def requeue(self) -> None:
        self.done.append("requeue")

    async def give_back(self) -> None:
        self.done.append("give back")


def large(type_: str, data: dict[str, object], *, source: str = PAYER, id_: str = "huge") -> Message:
    """A message of that type, larger than is taken."""
    envelope = {
        "specversion": "1.0", "id": id_, "source": source, "type": type_, "datacontenttype": "application/json",
        "data": {"padding": "x" * BODY_BYTES_MAX, **data},
    }  # fmt: skip
    return Message(message_id="huge", body=json.dumps(envelope).encode())


@pytest.mark.parametrize(
    ("type_", "data", "event"),
    [
        ("run.submitted", {"run_id": "R-9"}, "run.rejected"),
        ("run.chunk", {"run_id": "R-9"}, "run.rejected"),
        ("instruction.submitted", {"instruction": {"id": "R-9"}}, "instruction.rejected"),
        ("instruction.repay", {"instruction_id": "R-9"}, "instruction.repay_refused"),
    ],
)
async def test_the_payer_is_told(house: House, type_: str, data: dict[str, object], event: str) -> None:
    """In that message's own refusal event, with SIZE and what it was about; the bytes go to the dead letters."""
    given = Given(large(type_, data))
    await house.intake.settle(given)
    assert [reason.partition(":")[0] for reason in given.done] == [Code.SIZE]
    (told,) = await house.told(event)
    item = told if event == "run.rejected" else told.items[0]
    assert item.code == Code.SIZE
    assert (item.run_id if event == "run.rejected" else item.instruction_id) == "R-9"
    assert await house.told("alert") == []


@pytest.mark.parametrize(
    "message",
    [
        Message(message_id="huge", body=bytes(BODY_BYTES_MAX + 1)),
        large("run.submitted", {"run_id": "R-9"}, source="nobody"),
        large("run.submitted", {"run_id": "R-9"}, id_="another"),
        large("run.submitted", {"run_id": 9}),
        large("no.such", {}),
    ],
    ids=["no JSON", "a stranger", "another id", "no name", "no message of ours"],
)
async def test_where_nobody_can_be_told_people_are(house: House, message: Message) -> None:
    """An alert to operations, without a word of the content."""
    given = Given(message)
    await house.intake.settle(given)
    assert [reason.partition(":")[0] for reason in given.done] == [Code.SIZE]
    (alert,) = await house.told("alert")
    assert (alert.code, alert.subject) == (Code.SIZE, "queue:gateway.intake")
    assert await house.told("run.rejected") == []
