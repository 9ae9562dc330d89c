"""Credentials: found by name in a fixed order, never printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.errors import Refused
from gateway.edge.credentials import Credentials


def test_the_order_is_systemd_then_environment_then_folder(tmp_path: Path) -> None:
    """The most protected source wins."""
    given, folder = tmp_path / "given", tmp_path / "folder"
    given.mkdir()
    folder.mkdir()
    (folder / "bank-a").write_bytes(b"from the folder\n")
    assert Credentials(folder, {}).text("bank-a") == "from the folder"
    environment = {"SHEYIN_CREDENTIAL_BANK_A": "from the environment"}
    assert Credentials(folder, environment).text("bank-a") == "from the environment"
    (given / "bank-a").write_bytes(b"from systemd\r\n")
    environment["CREDENTIALS_DIRECTORY"] = str(given)
    assert Credentials(folder, environment).text("bank-a") == "from systemd"


def test_only_one_newline_is_taken_off() -> None:
    """A secret may end in blanks."""
    assert Credentials(None, {"SHEYIN_CREDENTIAL_A": "x \n\n"}).get("a") == b"x \n"


@pytest.mark.parametrize("name", ["../../etc/shadow", "", "a/b", ".hidden", "x\n", "x" * 100])
def test_a_name_that_is_a_path_is_refused(name: str, tmp_path: Path) -> None:
    """A configuration cannot reach outside the folder."""
    with pytest.raises(Refused, match="PATH"):
        Credentials(tmp_path, {}).get(name)


def test_a_missing_one_is_named(tmp_path: Path) -> None:
    """Who reads the error knows which secret to provide."""
    with pytest.raises(Refused, match="bank-a"):
        Credentials(tmp_path, {}).get("bank-a")


def test_an_oversized_file_is_refused(tmp_path: Path) -> None:
    """A wrong path does not fill the memory."""
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    with pytest.raises(Refused, match="SIZE"):
        Credentials(tmp_path, {}).get("big")


def test_it_shows_nothing_when_printed() -> None:
    """No secret in a traceback or a debug line."""
    assert "canary" not in repr(Credentials(None, {"SHEYIN_CREDENTIAL_A": "canary"}))
