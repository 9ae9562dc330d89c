"""Parties and agents as the payment messages and the business header write them, as canonical XML.

Source: ISO 20022 PartyIdentification135, BranchAndFinancialInstitutionIdentification6; external code sets 2Q2026
(ExternalClearingSystemIdentification1Code, ExternalPersonIdentification1Code).
"""

from __future__ import annotations

from gateway.codec.text import xml_text

#: Identity documents that have an ISO code; any other is named in our own words (``Prtry``).
SCHEMES = {"resident": "NIDN", "hmt_resident": "NIDN", "passport": "CCPT"}


def agent(clearing_code: str, code: str) -> str:
    """A bank as ``FinInstnId``: by its clearing number (大额行号, CNAPS) where it has one, else by our code for it."""
    if not clearing_code:
        return f"<FinInstnId><Othr><Id>{xml_text(code)}</Id></Othr></FinInstnId>"
    member = f"<ClrSysId><Cd>CNAPS</Cd></ClrSysId><MmbId>{xml_text(clearing_code)}</MmbId>"
    return f"<FinInstnId><ClrSysMmbId>{member}</ClrSysMmbId></FinInstnId>"


def organisation(identifier: str) -> str:
    """``Id`` of an organisation known by a number that the other side gave it."""
    return f"<Id><OrgId><Othr><Id>{xml_text(identifier)}</Id></Othr></OrgId></Id>"


def person(id_type: str, number: str) -> str:
    """``Id`` of a person by an identity document."""
    scheme = SCHEMES.get(id_type)
    told = f"<Cd>{scheme}</Cd>" if scheme else f"<Prtry>{xml_text(id_type)}</Prtry>" if id_type else ""
    told = f"<SchmeNm>{told}</SchmeNm>" if told else ""
    return f"<Id><PrvtId><Othr><Id>{xml_text(number)}</Id>{told}</Othr></PrvtId></Id>"
