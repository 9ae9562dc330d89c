"""What operations change, as values: the gateway's own settings, and the check of everything that a Bank's configuration can get wrong.

Pure: reading the file, the environment and the secrets is the command line's work (``gateway/cli/config.py``). Each setting's sentence stands
in ``gateway/cli/words.py`` and from there in docs/configuration.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.core.adapter import Adapter, Trust, format_options
from gateway.core.bank import Bank, DuplicateAnswer, Limits
from gateway.core.batching import check_codes, check_limits, check_template
from gateway.core.calendar import check_window
from gateway.core.contracts import PayerCode
from gateway.core.errors import Code, Refused

_CREDENTIAL = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,79})?(?!\n)$"
_BANK_CODE = re.compile(r"[A-Z0-9_]{2,16}", re.ASCII)
_CLEARING = re.compile(r"[0-9]{12}", re.ASCII)
_CUSTOMER = re.compile(r"[0-9A-Za-z-]{1,30}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{3,12}", re.ASCII)
_FUND = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
_ACCOUNT = re.compile(r"[0-9A-Za-z-]{5,34}", re.ASCII)
#: Limits that a format sets by itself: a Bank may have smaller ones, never larger ones.
FORMAT_LIMITS = ("rows_max", "name_bytes_max", "account_chars_max", "purpose_bytes_max", "document_bytes_max")

CredentialName = Annotated[str, Meta(pattern=_CREDENTIAL, description="name of a credential, never the secret itself")]
LOCAL_BUS = "local:"


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[gateway]``: one installation. Relative paths count from the configuration's folder."""

    bureau: Annotated[str, Meta(min_length=1, max_length=100)]
    production: bool = False
    replica: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,60}(?!\n)$")] = ""
    data_dir: str = "data"
    archive_dir: str = ""
    credentials_dir: str = ""
    ledger: str = ""
    ledger_password: CredentialName = ""
    bus: str = LOCAL_BUS
    bus_password: CredentialName = ""
    bus_management: str = ""
    bus_ca: str = ""
    bus_certificate: str = ""
    bus_key: str = ""
    incomplete_run_minutes: Annotated[int, Meta(ge=1, le=60 * 24 * 31)] = 60 * 24
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class OlderKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[atrest.older]]``: a master key that was replaced and still opens what it sealed."""

    number: Annotated[int, Meta(ge=1, le=255)]
    key: Annotated[str, Meta(min_length=1, pattern=_CREDENTIAL)]


class AtRestKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[atrest]``: which master keys protect account and id columns and the archive, by the names of their credentials."""

    key: Annotated[str, Meta(min_length=1, pattern=_CREDENTIAL)] = "at-rest.key"
    number: Annotated[int, Meta(ge=1, le=255)] = 1
    older: tuple[OlderKey, ...] = ()


class Payer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[payer]]``: one disbursement system."""

    code: PayerCode
    name: Annotated[str, Meta(min_length=1, max_length=100)]


# ---------------------------------------------------------------------------------------------------------------- checks


def check_payers(payers: Iterable[Payer]) -> None:
    """Raises Refused CONFLICT for a code that two payers have."""
    seen: set[str] = set()
    for payer in payers:
        if payer.code in seen:
            what = "two payers have this code: results of one would reach the other"
            raise Refused(what, code=Code.CONFLICT, where=f"payer {payer.code}")
        seen.add(payer.code)


def check_banks(banks: Iterable[Bank], adapters: Mapping[str, Adapter], bureau: str) -> None:
    """Every Bank by itself and all together. ``bureau`` is the name on the debit accounts. Raises Refused, ``where`` naming bank and key."""
    banks = list(banks)
    for bank in banks:
        try:
            check_bank(bank, adapters, bureau)
        except Refused as error:
            at = f"bank {bank.code}"
            where = error.where if error.where.startswith(at) else f"{at}: {error.where}" if error.where else at
            raise Refused(error.what, code=error.code, where=where) from None
    codes = [bank.code for bank in banks]
    for code in codes:
        if codes.count(code) > 1:
            raise Refused("two banks have this code", code=Code.CONFLICT, where=f"bank {code}")
    check_codes(codes)


def check_bank(bank: Bank, adapters: Mapping[str, Adapter], bureau: str) -> None:
    """One Bank against its format. Raises Refused, ``where`` naming the key."""
    _shape(bank.code, _BANK_CODE, "code", "2 to 16 of A-Z, 0-9 and _")
    adapter = adapters.get(bank.adapter)
    if adapter is None:
        raise _wrong(f"no installed format is called {bank.adapter!r}; there are {', '.join(adapters)}", "adapter")
    if bank.wire not in adapter.routes:
        raise _wrong(
            f"{adapter.code} does not travel by {bank.wire}; it does by {', '.join(sorted(adapter.routes))}", "wire"
        )
    _shape(bank.customer, _CUSTOMER, "customer", "1 to 30 letters, digits and hyphens")
    if bank.clearing_code:
        _shape(bank.clearing_code, _CLEARING, "clearing_code", "12 digits")
    for prefix in bank.bin_prefixes:
        _shape(prefix, _DIGITS, "bin_prefixes", "3 to 12 digits")
    for fund, account in bank.debit_accounts.items():
        _shape(fund, _FUND, "debit_accounts", "funds written in a-z, 0-9 and _")
        _shape(account, _ACCOUNT, f"debit_accounts.{fund}", "an account number of 5 to 34 characters")
    if bank.debit_accounts and not adapter.pays:
        raise _wrong(f"{adapter.code} carries no payments: its bank has no debit account", "debit_accounts")
    if adapter.options is not None:
        format_options(bank, adapter.options)
    elif bank.format_options:
        raise _wrong(f"{adapter.code} has no options of its own", "format_options")
    check_window(bank.window)
    both = sorted(set(bank.calendar_extra_working) & set(bank.calendar_extra_closed))
    if both:
        raise Refused(f"{both[0]} is given as worked and as closed", code=Code.CONFLICT, where="calendar_extra_closed")
    check_template(bank.file_name or adapter.file_name, customer=bank.customer)
    _check_limits(bank.limits or adapter.limits, adapter)
    _check_agreement(bank)
    _check_trust(bank, adapter)
    _check_bureau(bureau, adapter)


def check_production(gateway: Gateway, banks: Iterable[Bank]) -> None:
    """What a trial may and real money may not. Raises Refused POLICY; nothing where ``production`` is off."""
    if not gateway.production:
        return
    if gateway.bus == LOCAL_BUS:
        raise Refused(
            "in production messages come over RabbitMQ; the in-process bus is for trials", where="gateway.bus"
        )
    if not gateway.ledger.startswith("postgresql"):
        raise Refused("in production the ledger is PostgreSQL; SQLite is for trials", where="gateway.ledger")
    for bank in banks:
        if not bank.sealed:
            raise Refused("in production every Document is sealed", where=f"bank {bank.code}: sealed")


def _check_limits(limits: Limits, adapter: Adapter) -> None:
    check_limits(limits)
    for name in FORMAT_LIMITS:
        most = getattr(adapter.limits, name)
        if getattr(limits, name) > most:
            raise Refused(f"{adapter.code} holds at most {most:,}", code=Code.RANGE, where=f"limits.{name}")


def _check_agreement(bank: Bank) -> None:
    agreement = bank.agreement
    for name in agreement.__struct_fields__:
        value = getattr(agreement, name)
        if isinstance(value, int) and not isinstance(value, bool) and value < 0:
            raise Refused("cannot be negative", code=Code.RANGE, where=f"agreement.{name}")
    if agreement.inquiry_interval_minutes < 1:
        what = "at least one minute between two inquiries"
        raise Refused(what, code=Code.RANGE, where="agreement.inquiry_interval_minutes")
    if bool(agreement.duplicate_key) is (agreement.duplicate_answer is DuplicateAnswer.NO_DEDUPE):
        what = (
            "the bank answers repeats, but nothing says what makes a Document a repeat"
            if not agreement.duplicate_key
            else "something makes a Document a repeat, but the bank's answer to one is no_dedupe"
        )
        raise _wrong(f"{what}: give duplicate_key and duplicate_answer together, or neither", "agreement.duplicate_key")
    if not agreement.credited or not all(agreement.credited):
        raise _wrong("name at least one status word that means credited", "agreement.credited")
    if agreement.refunds not in ("bank", "bureau"):
        raise _wrong('"bank" or "bureau"', "agreement.refunds")


def _check_trust(bank: Bank, adapter: Adapter) -> None:
    if not bank.sealed or adapter.seal is None:
        return
    if adapter.trust is Trust.SEAL and not bank.pins:
        raise Refused(
            "documents are sealed, and no certificate of the bank is pinned: nothing it sends could be believed",
            code=Code.CERT,
            where="pins",
        )
    if len(set(bank.pins)) != len(bank.pins):
        raise Refused("a certificate is pinned twice", code=Code.CERT, where="pins")
    if not bank.sign_key:
        raise Refused("documents are sealed, and no key is named to seal them", code=Code.CERT, where="sign_key")


def _check_bureau(bureau: str, adapter: Adapter) -> None:
    """The bureau's name travels in every payment file."""
    if character := adapter.encodable(bureau):
        raise Refused(
            f"{adapter.code} cannot write {character!r} of [gateway] bureau", code=Code.CHARSET, where="adapter"
        )


def _shape(text: str, pattern: re.Pattern[str], key: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise Refused(f"{text[:40]!r}: must be {what}", code=Code.FORMAT, where=key)


def _wrong(what: str, key: str) -> Refused:
    return Refused(what, code=Code.SCHEMA, where=key)
