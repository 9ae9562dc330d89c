"""What a bank says about names in ISO 20022 moves no payment: kept, read, and parked for people."""

from __future__ import annotations

import pytest

from tests.adapters.iso20022_documents import block, pain_002, transaction
from tests.adapters.test_iso20022_names import answer, report
from tests.flow.conftest import MakeHouse
from tests.flow.house import ISO, bank


@pytest.mark.parametrize("word", ["RCVC", "RVNM"])
async def test_a_verification_of_payee_moves_nothing(make_house: MakeHouse, word: str) -> None:
    """A pain.002 about the very file that was sent, whose lines carry the payments' own references."""
    house = make_house(bank(ISO, sealed=False))
    await house.paying(3, ISO)
    await house.step(ISO, times=2)
    ((reference,),) = house.rows("SELECT reference FROM document WHERE kind = 'payment'")
    keys = [str(key) for (key,) in house.rows("SELECT key FROM attempt ORDER BY key")]
    states = house.states()
    lines = block(*(transaction(word, ref=key) for key in keys))
    document = pain_002(lines, group=f"<GrpSts>{'RVCM' if word == 'RVNM' else word}</GrpSts>")
    house.wires[ISO].put("vop.xml", document.replace(b"BANKA2015061000001", str(reference).encode()))
    house.wires[ISO].put("names.xml", report(answer("true"), answer("false", "PN01", ref="902")))
    await house.step(ISO, times=2)
    assert house.inbound() == [("parked", "POLICY")] * 2
    assert house.states() == states
    assert ("sent",) in house.rows("SELECT state FROM document WHERE kind = 'payment'")
    await house.sound()
