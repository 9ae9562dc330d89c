"""``sheyin encode`` puts an SM2 signature into the envelope's slot, and ``sheyin inspect`` says what of such a message is proven."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.edge.crypto.pki import make
from tests.adapters.cnaps2_documents import arrived, discarded
from tests.adapters.suite import ADAPTERS, options_of
from tests.cli.conftest import Run
from tests.cli.test_encode import encoded, line, lines

GOLDEN = Path(__file__).parents[1] / "adapters" / "golden" / "cnaps2" / "one_name_differs"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Development keys of both sides, SM2 among them."""
    folder = tmp_path_factory.mktemp("keys")
    make(folder, ["BANKA"], datetime.now(UTC) - timedelta(days=1), sm2_banks=["BANKA"])
    return folder


def sealed(run: Run, keys: Path) -> Path:
    """Two payments, signed."""
    (run.folder / "sheyin.toml").write_text(
        f"""
        [gateway]
        bureau = "某市社保局"
        [keys.bureau-sm2-sign]
        use = "sign"
        file = "{keys}/bureau-sm2-sign.key"
        certificate = "{keys}/bureau-sm2-sign.crt"
        [pins.banka-sm2-sign]
        file = "{keys}/banka-sm2-sign.crt"
        [[bank]]
        code = "BANKA"
        name = "Bank Jia"
        adapter = "cnaps2"
        wire = "folder"
        customer = "FS0001"
        sign_key = "bureau-sm2-sign"
        pins = ["banka-sm2-sign"]
        debit_accounts = {{ pension = "9900000000000018" }}
        format_options = {{ {", ".join(f"{name} = {json.dumps(value)}" for name, value in options_of(ADAPTERS["cnaps2"]).items())} }}
        wire_options = {{ root = "x" }}
        """
    )  # fmt: skip
    done = encoded(run, lines(line(1), line(2)), "--format", "cnaps2")
    assert done.code == 0, done.out
    assert done.json["sealed"]
    (document,) = done.json["documents"]
    return run.folder / "out" / str(document["name"])


def test_what_is_signed_is_proven(run: Run, keys: Path) -> None:
    """Valid with our certificate, unverified without one, invalid where a signed value is another one; words are not among them."""
    path = sealed(run, keys)
    content = path.read_bytes()
    assert not content.startswith(b"{S:}", 132)
    certificate = ("--cert", keys / "bureau-sm2-sign.crt")
    found = run.here("inspect", path, "--json", *certificate)
    assert (found.json["format"], found.json["kind"], found.json["seal"]["state"]) == ("cnaps2", "payment", "valid")
    assert [row["amount_minor"] for row in found.json["rows"]] == [1, 2]
    (run.folder / "sheyin.toml").unlink()
    assert run.here("inspect", path, "--json").json["seal"]["state"] == "unverified"
    path.write_bytes(content.replace(b">0.02<", b">0.03<", 1))
    assert run.here("inspect", path, "--json", *certificate).json["seal"]["state"] == "invalid"


@pytest.mark.parametrize("document", [arrived(), discarded()], ids=["990", "911"])
def test_what_is_never_signed_says_so(run: Run, document: bytes) -> None:
    """What counts is the channel it came by."""
    (run.folder / "word.txt").write_bytes(document)
    found = run.here("inspect", "word.txt", "--json").json
    assert (found["format"], found["kind"], found["seal"]["state"]) == ("cnaps2", "receipt", "absent")
    assert "what counts is the channel" in run.here("inspect", "word.txt").out


def test_a_reply_is_explained(run: Run) -> None:
    """By its first bytes alone: RJ02 is a name mismatch; what is credited the Agreement says, and none was told."""
    done = run.here("inspect", GOLDEN / "result.bin", "--json")
    told = [(row["status"], row["codes"], row["outcome"], row["verdict"]) for row in done.json["rows"]]
    assert told == [
        ("PR02", [], "pending", "RECEIVED"),
        ("PR09", ["RJ02"], "failed", "NAME_MISMATCH"),
        ("PR02", [], "pending", "RECEIVED"),
    ]
    assert "cnaps2" in run.here("inspect", GOLDEN / "result.bin").out
