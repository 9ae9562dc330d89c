"""The Sealer in each form of seal: what stands in the archive holds for whoever has our certificate, and what was sealed is the writer's bytes."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from adapters.standard_file import ADAPTER
from gateway.core.bank import Attached, Bank, Detached, DocKind, PayLine, WireKind
from gateway.core.errors import Refused
from gateway.core.ledger import Ledger, OutDocument
from gateway.core.partner import Partner
from gateway.edge.archive import FolderArchive
from gateway.edge.atrest import AtRest
from gateway.edge.clock import ManualClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto
from gateway.edge.crypto.pki import DevPki, make
from gateway.edge.work import InlineWork
from gateway.flow.sealing import Sealer
from tests.flow.fakes import Points

JUNE = datetime(2015, 6, 10, tzinfo=UTC)
LINES = [PayLine(1, 11, "张三", "6222020200112233445", 184000), PayLine(2, 12, "李四", "6222020200112233446", 200000)]
DOCUMENT = OutDocument(
    key=1,
    bank="BANK_A",
    kind=DocKind.PAYMENT,
    state="open",
    reference="P1",
    name="A.txt",
    sequence=1,
    batch_key=1,
    count=2,
    minor=384000,
    created_ms=1433894400000,
    fund="pension",
    debit_account="44001",
    pay_date="2015-06-10",
    line="pension",
)


class Lines:
    """As much of a ledger as sealing a payment asks for."""

    async def pay_lines(self, document_key: int, after: int, most: int) -> list[PayLine]:
        """The two lines, once."""
        return LINES[after : after + most]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """A bureau and a bank, RSA and SM2."""
    return make(tmp_path_factory.mktemp("town"), ["BANK_A"], datetime(2015, 1, 1, tzinfo=UTC), sm2_banks=["BANK_A"])


def port(town: DevPki, *, ours: bool) -> ConfiguredCrypto:
    """One side's keys."""
    files = town.bureau if ours else town.banks["BANK_A"]
    return ConfiguredCrypto(files, Credentials(town.folder, {}), ManualClock(JUNE), InlineWork(), folder=town.folder)


@pytest.mark.parametrize("shape", [None, Detached(), Detached(form="gmt0010"), Attached(), Attached(form="gmt0010")])
async def test_what_the_sealer_archives_is_sealed(
    town: DevPki, tmp_path: Path, shape: Detached | Attached | None
) -> None:
    """Digest and size are those of the bytes that leave; the bank reads exactly what the format's writer wrote."""
    name = "bureau-sm2-sign" if shape is not None and shape.form == "gmt0010" else "bureau-sign"
    bank = Bank(code="BANK_A", name="A", adapter="standard_file", wire=WireKind.FOLDER, customer="C1", sign_key=name)
    partner = Partner(bank=bank, adapter=replace(ADAPTER, seal=shape))
    archive = FolderArchive(tmp_path, AtRest(bytes(32)))
    ledger = cast(Ledger, Lines())
    sealer = Sealer(ledger, archive, port(town, ours=True), InlineWork(), ManualClock(JUNE), Points(), "社保局")
    plain = await sealer.seal(DOCUMENT, replace(partner, adapter=replace(ADAPTER, seal=None)))
    written = archive.open(plain.digest).read()
    sealed = await sealer.seal(DOCUMENT, partner)
    document = archive.open(sealed.digest).read()
    assert (sha256(document).hexdigest(), len(document)) == (sealed.digest, sealed.size)
    assert (sealed.seal is not None) is isinstance(shape, Detached)
    assert sealed.seal_name == ("A.txt.p7s" if isinstance(shape, Detached) else "")
    if shape is None:
        assert document == written
        return
    us = replace(bank, pins=(name,))
    found = port(town, ours=False).verify(us, shape, io.BytesIO(document), sealed.seal, JUNE)
    assert (found.by, found.signed.read()) == (name, written)


@pytest.mark.parametrize("shape", [Detached(form="gmt0010"), Attached(form="gmt0010"), Attached()])
async def test_a_key_of_another_kind_seals_nothing(town: DevPki, tmp_path: Path, shape: Detached | Attached) -> None:
    """RSA where SM2 is agreed, SM2 where RSA is, a key that decrypts: refused, and there is no sealed Document."""
    keys = ["bureau-sm2-decrypt", "bureau-sign" if shape.form == "gmt0010" else "bureau-sm2-sign"]
    for name in keys:
        bank = Bank(
            code="BANK_A", name="A", adapter="standard_file", wire=WireKind.FOLDER, customer="C1", sign_key=name
        )
        archive = FolderArchive(tmp_path / name, AtRest(bytes(32)))
        ledger = cast(Ledger, Lines())
        sealer = Sealer(ledger, archive, port(town, ours=True), InlineWork(), ManualClock(JUNE), Points(), "社保局")
        with pytest.raises(Refused):
            await sealer.seal(DOCUMENT, Partner(bank=bank, adapter=replace(ADAPTER, seal=shape)))
