"""Files of orders: what `sheyin submit` takes, and what it refuses with a code and a line, submitting nothing."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path

import pytest

from gateway.cli import order_file
from gateway.cli.output import Output
from gateway.cli.submit import read_order
from gateway.core.errors import SheyinError
from gateway.sandbox.month import generate
from gateway.sandbox.month_files import CSV_COLUMNS, write_csv, write_jsonl
from tests.cli.office import header, open_office

OPTIONS = {
    "run_id": "R1",
    "kind": "regular",
    "line": "pension",
    "period": "2015-06",
    "fund": "pension",
    "debit_account": "9900000000000018",
    "pay_date": "2015-06-15",
}
NAMES = "id,person_name,person_id_number,bank,account,amount_fen"
ROW = "P-1,张三,110101194912310021,BANKA,9900010000000000001,100"


def read(path: Path) -> order_file.Order:
    """The file with a whole header."""
    return order_file.read(path, OPTIONS, lambda _: None)


def test_csv_and_json_lines_of_one_month_are_the_same_messages(tmp_path: Path) -> None:
    """Both shapes that the month writes give its own instructions, chunked alike, with header, count and total."""
    month = generate(2_500, pay_date=dt.date(2015, 6, 15))
    write_jsonl(month, tmp_path / "month.jsonl")
    write_csv(month, tmp_path / "month.csv")
    found = [order_file.read(tmp_path / name, {}, lambda _: None) for name in ("month.jsonl", "month.csv")]
    assert found[0].header == found[1].header == month.header
    bodies = [[message.body for _, message in order_file.messages(order, "PENSION")] for order in found]
    assert bodies[0] == bodies[1]
    datas = [json.loads(body)["data"] for body in bodies[0]]
    assert datas == [json.loads(message.body)["data"] for message in month.messages()]


def test_every_column_of_the_month_is_known() -> None:
    """What we write ourselves can be read back."""
    assert set(CSV_COLUMNS) <= set(order_file.COLUMNS) | set(order_file.AMOUNTS)


def test_the_same_file_gives_the_same_messages_and_another_attempt_other_ids(tmp_path: Path) -> None:
    """A repeat is known by its ids; a new trial after a rejection is not taken for a repeat."""
    path = tmp_path / "r.csv"
    path.write_text(f"{NAMES}\n{ROW}\n")
    order = read(path)
    first, again, other = (list(order_file.messages(order, "PENSION", number)) for number in (0, 0, 1))
    assert first == again
    assert not {m.message_id for _, m in first} & {m.message_id for _, m in other}


def test_amounts_may_be_in_yuan(tmp_path: Path) -> None:
    """1234.5 yuan is 123450 fen, exactly."""
    path = tmp_path / "r.csv"
    path.write_text(f"{NAMES.replace('fen', 'yuan')}\n{ROW.removesuffix('100')}1234.5\n")
    assert read(path).header.total == 123_450


BAD = {
    "a quote that is never closed": (f'{NAMES}\n{ROW}\nP-2,"张三,1,BANKA\n{ROW}\n'.encode(), "FORMAT", "line 3"),
    "text after a closing quote": (f'{NAMES}\nP-1,"张"三,1,BANKA,9,1\n'.encode(), "FORMAT", "line 2"),
    "a missing column": (b"id,person_name,bank,account,amount_fen\n", "SCHEMA", "line 1"),
    "two columns for the amount": (f"{NAMES},amount_yuan\n".encode(), "SCHEMA", "line 1"),
    "an unknown column": (f"{NAMES},colour\n".encode(), "SCHEMA", "line 1"),
    "a column twice": (f"{NAMES},bank\n".encode(), "SCHEMA", "line 1"),
    "another delimiter": (f"{NAMES}\n{ROW}\n".replace(",", ";").encode(), "SCHEMA", "line 1"),
    "a field too few": (f"{NAMES}\n{ROW}\nP-2,张三\n".encode(), "SCHEMA", "line 3"),
    "a field too many": (f"{NAMES}\n{ROW},x\n".encode(), "SCHEMA", "line 2"),
    "a byte-order mark": (b"\xef\xbb\xbf" + f"{NAMES}\n{ROW}\n".encode(), "CHARSET", "line 1"),
    "GBK": (f"{NAMES}\n{ROW}\n".encode("gbk"), "CHARSET", "line 2"),
    "UTF-16": (f"{NAMES}\n{ROW}\n".encode("utf-16"), "FORMAT", "line 1"),
    "a NUL": (f"{NAMES}\n{ROW}\n".replace("张三", "张\0三").encode(), "FORMAT", "line 2"),
    "a decimal in fen": (f"{NAMES}\n{ROW}.5\n".encode(), "FORMAT", "line 2"),
    "full-width digits": (f"{NAMES}\n{ROW.removesuffix('100')}１００\n".encode(), "FORMAT", "line 2"),
    "a negative amount": (f"{NAMES}\n{ROW.removesuffix('100')}-100\n".encode(), "FORMAT", "line 2"),
    "an amount of nothing": (f"{NAMES}\n{ROW.removesuffix('100')}0\n".encode(), "RANGE", "line 2"),
    "an account that a spreadsheet rounded": (
        f"{NAMES}\n{ROW.replace('9900010000000000001', '9.90001E+18')}\n".encode(),
        "SCHEMA",
        "line 2",
    ),
    "a line without end": (f"{NAMES}\n{ROW}{'0' * 70_000}\n".encode(), "SIZE", "line 2"),
    "nothing but names": (f"{NAMES}\n".encode(), "FORMAT", "bad.csv"),
    "nothing at all": (b"", "FORMAT", "line 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_csv_is_refused_with_its_code_and_line(name: str, tmp_path: Path) -> None:
    """Nothing is guessed, nothing swallowed: the place where a person looks is told."""
    content, code, where = BAD[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(SheyinError) as caught:
        read(path)
    assert (caught.value.code, where in caught.value.where) == (code, True), caught.value


BAD_JSON = {
    "half a line": (b'{"id": "P-1", "per', "FORMAT"),
    "a key twice": (
        b'{"id":"P-1","id":"P-2","person":{"name":"\xe5\xbc\xa0","id_number":"1234"},"bank":"BANKA","account":"12345","amount":1}',
        "FORMAT",
    ),
    "an unknown field": (
        b'{"id":"P-1","person":{"name":"x","id_number":"1234"},"bank":"BANKA","account":"12345","amount":1,"a":1}',
        "SCHEMA",
    ),
    "an array": (b"[]", "SCHEMA"),
    "GBK": ('{"id": "张"}'.encode("gbk"), "CHARSET"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_lines_are_refused_with_code_and_line(name: str, tmp_path: Path) -> None:
    """As for CSV."""
    content, code = BAD_JSON[name]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content + b"\n")
    with pytest.raises(SheyinError) as caught:
        read(path)
    assert (caught.value.code, "line 1" in caught.value.where) == (code, True), caught.value


def test_every_bad_line_is_told_up_to_twenty(tmp_path: Path) -> None:
    """A person mends a file in one go, not line by line."""
    path = tmp_path / "bad.csv"
    path.write_text(f"{NAMES}\n" + f"{ROW}.5\n" * 30)
    with pytest.raises(SheyinError, match="30 bad lines") as caught:
        read(path)
    assert len(caught.value.__notes__) == 19


def test_a_header_that_declares_other_totals_is_refused(tmp_path: Path) -> None:
    """Count and total of the header are a control over the file, not a copy of it."""
    path = tmp_path / "r.csv"
    path.write_text(f"{NAMES}\n{ROW}\n")
    (tmp_path / "r.run.json").write_text(json.dumps(OPTIONS | {"count": 1, "total": 101, "chunks": 1}))
    with pytest.raises(SheyinError) as caught:
        order_file.read(path, {}, lambda _: None)
    assert caught.value.code == "TOTALS"


def test_a_header_that_lacks_something_names_the_options(tmp_path: Path) -> None:
    """What to type is told."""
    path = tmp_path / "r.csv"
    path.write_text(f"{NAMES}\n{ROW}\n")
    with pytest.raises(SheyinError, match="--run-id, --kind, --line, --period, --fund, --debit-account, --pay-date"):
        order_file.read(path, {}, lambda _: None)


def test_a_file_that_changes_between_the_two_readings_is_not_sent_whole(tmp_path: Path) -> None:
    """What is sent is what was checked, or the last chunk is missing and nothing is accepted."""
    path = tmp_path / "r.csv"
    path.write_text(f"{NAMES}\n{ROW}\n")
    order = read(path)
    path.write_text(f"{NAMES}\n{ROW}00\n")
    with pytest.raises(SheyinError, match="changed while it was read"):
        list(order_file.messages(order, "PENSION"))


def test_a_bad_file_submits_nothing(tmp_path: Path) -> None:
    """As a user: exit code 2, code and line on one line, and no run in the ledger."""
    office = open_office(tmp_path)
    with (tmp_path / "bad.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES.split(","))
        writer.writerow([*ROW.split(",")[:-1], "12.5"])
    done = office("submit", "bad.csv", *header("R1"))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: FORMAT at bad.csv line 2: amount_fen: not a plain whole number: '12.5'")
    assert office.good("status")["runs"] == []


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_is_no_file(name: str) -> None:
    """A path without a file's name is refused, not a fault of the program."""
    assert order_file.header_path(Path(name)).name.endswith(".run.json")
    with pytest.raises(SheyinError, match="cannot be read"):
        read_order(Path(name), {"kind": ""}, Output())
