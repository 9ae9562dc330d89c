"""Generated files equal the code, and others than we accept what they describe."""

from __future__ import annotations

import datetime as dt
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from cloudevents.core.bindings.amqp import AMQPMessage, from_structured_event

from gateway.cli import asyncapi, schemas
from gateway.core import contracts
from gateway.core.contracts import INBOUND, OUTBOUND, encode
from gateway.core.states import TABLES
from gateway.core.topology import topology
from gateway.sandbox.month import PAY_DATE, PERIOD, SEED, Month
from tests.cli.conftest import Run
from tests.servers import ROOT

NOW = dt.datetime(2015, 6, 1, 1, 2, 3, tzinfo=dt.UTC)
MONTH = Month(300, SEED, period=PERIOD, pay_date=PAY_DATE)
ALL = INBOUND | OUTBOUND


@pytest.mark.parametrize("path", sorted(schemas.generated()))
def test_the_generated_files_equal_the_code(path: str) -> None:
    """`make schemas` writes them anew; a change of the code without it is found here."""
    assert (ROOT / path).read_text(encoding="utf-8") == schemas.generated()[path]


def test_check_names_what_differs(run: Run) -> None:
    """Nothing is written; a changed, a missing and a left-over file are each named; writing mends all three."""
    assert run.here("schemas", "--root", run.folder).code == 0
    assert run.here("schemas", "--root", run.folder, "--check").code == 0
    folder = run.folder / "schemas"
    (folder / "asyncapi.json").write_text("{}")
    (folder / "messages" / "alert.json").unlink()
    (folder / "messages" / "old.json").write_text("{}")
    done = run.here("schemas", "--root", run.folder, "--check", "--json")
    assert done.code == 1
    assert done.json["differing"] == ["schemas/messages/alert.json", "schemas/asyncapi.json"]
    assert done.json["left_over"] == ["schemas/messages/old.json"]
    assert (folder / "asyncapi.json").read_text() == "{}"
    shown = run.here("schemas", "--root", run.folder, "--check").out
    assert "schemas/asyncapi.json differs" in shown
    assert run.here("schemas", "--root", run.folder).code == 0
    assert run.here("schemas", "--root", run.folder, "--check").code == 0


# ---------------------------------------------------------------------------------------------------------------- JSON Schema


@cache
def validator(name: str) -> jsonschema_rs.Validator:
    """The written schema of one message."""
    schema = json.loads((ROOT / f"schemas/messages/{name}.json").read_text(encoding="utf-8"))
    assert schema["$schema"].endswith("2020-12/schema")
    jsonschema_rs.meta.validate(schema)
    return jsonschema_rs.validator_for(schema, validate_formats=True)


@pytest.mark.parametrize("name", ["envelope", *ALL])
def test_every_schema_is_one_and_says_what_it_is(name: str) -> None:
    """It obeys its dialect, carries its version as identity and the mark that nobody edits it."""
    validator(name)
    schema = json.loads((ROOT / f"schemas/messages/{name}.json").read_text(encoding="utf-8"))
    assert schema["title"] in (name, "CloudEvents envelope")
    assert schema["$id"] == f"urn:sheyin:{name}:1"
    assert "do not edit" in schema["$comment"]
    assert "``" not in json.dumps(schema)


def test_the_months_messages_fit_their_schemas() -> None:
    """Real input: header, chunks and repayments."""
    messages = [json.loads(message.body) for message in MONTH.messages()]
    assert {message["type"] for message in messages} == {"run.submitted", "run.chunk"}
    for message in messages:
        validator("envelope").validate(message)
        validator(message["type"]).validate(message["data"])
    repayments = list(MONTH.repayments())
    assert repayments
    for repayment in repayments:
        validator("instruction.repay").validate(msgspec.to_builtins(repayment))


GOOD: dict[str, Any] = msgspec.to_builtins(next(iter(MONTH.instructions())))
CHANGES: list[tuple[str, Any]] = [
    ("amount", 0),
    ("amount", -1),
    ("amount", 1_000_000_000),
    ("amount", 1_000_000_001),
    ("amount", "5"),
    ("amount", 1.5),
    ("account", "９９０００１"),
    ("account", "99000100000\n"),
    ("account", "9900 0100"),
    ("bank", "banka"),
    ("bank", "BANK_A"),
    ("id", ""),
    ("id", "a" * 41),
    ("id", "x\n"),
    ("currency", "USD"),
    ("currency", "CNY"),
    ("pay_date", "2015-06-31"),
    ("pay_date", "2015-06-30"),
    ("pay_date", None),
    ("period", "2015-13"),
    ("line", "lottery"),
    ("line", "work_injury_one_off"),
    ("purpose", "长" * 141),
    ("sequence", 0),
    ("sequence", 999),
    ("unknown", 1),
    ("person", {"name": "", "id_number": "E1234567"}),
    ("person", {"name": "张三"}),
    ("person", {"name": "张三", "id_number": "E1234567", "id_type": "library_card"}),
    ("payee", {"name": "李四", "id_number": "E1234567", "id_type": "passport"}),
    ("alternative", {"bank": "BANKB", "account": "990002"}),
    ("alternative", {"bank": "BANKB"}),
]


@pytest.mark.parametrize(("field", "value"), CHANGES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CHANGES)])
def test_the_schema_accepts_what_the_gateway_accepts_and_nothing_else(field: str, value: Any) -> None:
    """An outside validator and our decoder agree, field by field: a payer can check before it sends."""
    instruction = {**GOOD, field: value}
    chunk = {"run_id": "R1", "chunk": 1, "instructions": [instruction]}
    try:
        msgspec.json.decode(json.dumps(chunk), type=contracts.RunChunk)
        accepted = True
    except msgspec.ValidationError:
        accepted = False
    assert validator("run.chunk").is_valid(chunk) is accepted


# ---------------------------------------------------------------------------------------------------------------- CloudEvents


@pytest.mark.parametrize("name", sorted(OUTBOUND))
def test_our_envelopes_are_cloudevents(name: str) -> None:
    """The CloudEvents project's own reader takes each of our events from an AMQP message and finds what we put in."""
    data = example(OUTBOUND[name])
    validator(name).validate(msgspec.to_builtins(data))
    body = encode(name, data, id="01JXXXXXXXXXXXXXXXXXXXXXXX", source="sheyin", time=NOW, subject="R1")
    validator("envelope").validate(json.loads(body))
    event = from_structured_event(AMQPMessage({"content-type": "application/cloudevents+json"}, {}, body))
    assert (event.get_type(), event.get_source(), event.get_subject()) == (name, "sheyin", "R1")
    assert event.get_time() == NOW
    assert event.get_dataschema() == f"urn:sheyin:{name}:1"
    assert event.get_data() == json.loads(msgspec.json.encode(data))


def test_the_months_envelopes_are_cloudevents() -> None:
    """What payers send in the demo is read by others too."""
    for message in MONTH.messages():
        event = from_structured_event(AMQPMessage({"content-type": message.content_type}, {}, message.body))
        assert event.get_id() == message.message_id
        assert event.get_type() in INBOUND


def example(type_: type[msgspec.Struct]) -> msgspec.Struct:
    """One value of a message's type, made from its own description."""

    def made(info: Any) -> Any:
        kinds = msgspec.inspect
        match info:
            case kinds.StructType():
                return {field.encode_name: made(field.type) for field in info.fields if field.required}
            case kinds.ListType():
                return [made(info.item_type)]
            case kinds.DictType():
                return {"paid": made(info.value_type)}
            case kinds.IntType():
                return info.ge or 1
            case kinds.LiteralType():
                return info.values[0]
            case kinds.EnumType():
                return next(iter(info.cls)).value
            case kinds.DateTimeType():
                return "2015-06-01T09:00:00+08:00"
            case kinds.DateType():
                return "2015-06-01"
            case kinds.StrType():
                return "A1"
            case kinds.Metadata():
                return made(info.type)
        raise AssertionError(info)

    value: msgspec.Struct = msgspec.convert(made(msgspec.inspect.type_info(type_)), type_)
    return value


# ---------------------------------------------------------------------------------------------------------------- AsyncAPI


def test_the_asyncapi_document_is_valid() -> None:
    """Judged by the schema that the AsyncAPI project publishes."""
    schema = json.loads((Path(__file__).parent / "asyncapi-3.0.0.schema.json").read_text(encoding="utf-8"))
    judge = jsonschema_rs.validator_for(schema)
    document = json.loads((ROOT / "schemas/asyncapi.json").read_text(encoding="utf-8"))
    judge.validate(document)
    document["operations"]["takeInstructions"]["action"] = "take"
    assert not judge.is_valid(document)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """Messages, schemas and channels that are referred to stand in the document."""
    document = asyncapi.document()
    references = re.findall(r'"\$ref":"#/([^"]+)"', json.dumps(document, separators=(",", ":")))
    assert len(references) > 100
    for reference in references:
        place: Any = document
        for step in reference.split("/"):
            place = place[step]


def test_the_asyncapi_document_has_every_message_and_queue() -> None:
    """What the contracts and the topology have, under the names that they have there."""
    document = asyncapi.document()
    assert set(document["components"]["messages"]) == {*ALL, "document"}
    assert set(document["channels"]["disbursement"]["messages"]) == set(INBOUND)
    assert set(document["channels"]["events"]["messages"]) == set(OUTBOUND)
    queues = {
        channel["address"]: channel for channel in document["channels"].values() if "x-queue-arguments" in channel
    }
    spelled = {address.replace("{payer}", "P").replace("{bank}", "B") for address in queues}
    assert spelled | {"payer.OPERATIONS.events"} == {queue.name for queue in topology(["P"], ["B"]).queues}
    assert queues["gateway.intake"]["x-queue-arguments"]["x-overflow"] == "reject-publish"
    assert queues["payer.{payer}.events"]["x-queue-bindings"] == [{"exchange": "gateway.events", "key": "{payer}.#"}]


def test_payloads_of_the_asyncapi_document_accept_the_months_messages() -> None:
    """The envelope and the data of each message together, as a generator of clients would read them."""
    document = asyncapi.document()
    for message in MONTH.messages():
        body = json.loads(message.body)
        schema = {**document["components"]["messages"][body["type"]]["payload"], "components": document["components"]}
        judge = jsonschema_rs.validator_for(schema)
        judge.validate(body)
        assert not judge.is_valid({**body, "type": "run.cancel"})


# ---------------------------------------------------------------------------------------------------------------- pages


def test_every_arrow_of_the_tables_is_drawn_once() -> None:
    """The diagrams have the tables' arrows, no more and no fewer."""
    page = (ROOT / "docs/states.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"## (.+?)\n\n```mermaid\nstateDiagram-v2\n(.+?)```", page, re.S))
    assert sections.keys() == TABLES.keys()
    for name, table in TABLES.items():
        drawn = {
            (before, event, after)
            for before, after, events in re.findall(r"^    (\w+) --> (\w+): (.+)$", sections[name], re.M)
            for event in events.split(" / ")
        }
        assert drawn == {(str(s), str(e), str(after)) for s, row in table.items() for e, after in row.items()}


def test_the_page_of_commands_is_what_help_prints(run: Run) -> None:
    """A line of --help for one command stands on the page word for word."""
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    shown = run("inspect", "--help", COLUMNS="100").out
    usage = [line.rstrip() for line in shown.splitlines() if "--cert" in line or line.startswith("Usage")]
    assert len(usage) >= 2
    assert all(line in page for line in usage)
