"""Every setting of the sandbox banks is explained, and a wrong one is refused."""

from __future__ import annotations

import msgspec
import pytest

from gateway.sandbox.config import (
    AmqpWire,
    Answers,
    Faults,
    FolderWire,
    Keys,
    Sandbox,
    SandboxBank,
    SftpWire,
    load,
    save,
)
from gateway.sandbox.runner import Keys as RunnerKeys
from tests.servers import ROOT

STRUCTS = (Sandbox, SandboxBank, Answers, Faults, Keys, FolderWire, SftpWire, AmqpWire)


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_setting_is_explained(struct: type[msgspec.Struct]) -> None:
    """The README names each field."""
    text = (ROOT / "gateway" / "sandbox" / "README.md").read_text(encoding="utf-8")
    missing = [field for field in struct.__struct_fields__ if f"`{field}`" not in text and f'"{field}"' not in text]
    assert missing == []


def test_a_configuration_comes_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is saved is what is loaded, and TOML is read as well."""
    folder = tmp_path_factory.mktemp("config")
    keys = RunnerKeys(sign_key="k", certificate="c", bureau=("b",))
    bank = SandboxBank(
        code="B",
        adapter="iso20022",
        customer="C",
        wire=FolderWire(directory="d"),
        keys=keys,
        state="s",
        faults=Faults(drop="file"),
    )
    sandbox = Sandbox(banks=(bank,))
    save(sandbox, folder / "banks.json")
    assert load(folder / "banks.json") == sandbox
    (folder / "banks.toml").write_text(
        '[[banks]]\ncode = "B"\nadapter = "iso20022"\ncustomer = "C"\nstate = "s"\n'
        '[banks.wire]\ntype = "folder"\ndirectory = "d"\n'
        '[banks.keys]\nsign_key = "k"\ncertificate = "c"\nbureau = ["b"]\n[banks.faults]\ndrop = "file"\n'
    )
    assert load(folder / "banks.toml") == sandbox


@pytest.mark.parametrize("wrong", [{"parts": 0}, {"repeat": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    """A result in no part, or handed over never, is a mistake."""
    with pytest.raises(ValueError, match="start at 1"):
        SandboxBank(
            code="B",
            adapter="iso20022",
            customer="C",
            wire=FolderWire(directory="d"),
            keys=None,
            state="s",
            answers=Answers(**wrong),  # type: ignore[arg-type]  # by name
        )
