"""What the options of ``sheyin encode`` and the configuration say about banks, their formats and keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gateway.cli import config as configuration
from gateway.cli.encode_lines import Key, Partner
from gateway.core.adapter import Adapter
from gateway.core.bank import Bank
from gateway.core.errors import Code, Refused
from gateway.core.ports import Crypto
from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto, KeyFile, KeyFiles
from gateway.edge.work import InlineWork

#: What stands in for what nobody told, so that a trial needs no configuration.
NO_ACCOUNT = "0000000000000000"
NO_CUSTOMER = "BUREAU"
NO_BUREAU = "社会保险基金管理局"
GIVEN_KEY = "given"


class Setting:
    """What the options and the configuration say about banks and keys."""

    def __init__(
        self,
        adapter: Adapter,
        config: Path | None,
        customer: str,
        bureau: str,
        fund: str,
        debit_account: str,
        options: tuple[str, ...],
    ) -> None:
        path = configuration.find(config)
        self.config = configuration.load(path, files=False) if path is not None else None
        self.adapter = adapter
        self.bureau = bureau or (self.config.gateway.bureau if self.config else NO_BUREAU)
        self._customer = customer or NO_CUSTOMER
        self._options = _options_of(adapter, options)
        self._debit_account = debit_account
        self._partners: dict[str, Partner] = {}
        self._given = False  # a key was named on the command line

    def partner(self, code: str) -> Partner:
        """The configured bank of that code, if it speaks this format; else one made up of the format's defaults."""
        found = self._partners.get(code)
        if found is None:
            configured = [b for b in self.config.banks if b.code == code] if self.config else []
            speaks = configured and configured[0].adapter == self.adapter.code
            bank = configured[0] if speaks else self._made_up(code)
            found = self._partners[code] = Partner(bank, self.adapter)
        return found

    def notes(self) -> list[str]:
        """Banks that are configured with another format: what stands in for what they have agreed."""
        others = {bank.code: bank.adapter for bank in self.config.banks} if self.config else {}
        return [
            f"{code} is configured with {others[code]}, not {self.adapter.code}: {partner.bank.customer} stands for our customer number, "
            "and the format's own limits for the bank's"
            for code, partner in sorted(self._partners.items())
            if others.get(code, self.adapter.code) != self.adapter.code
        ]

    def _made_up(self, code: str) -> Bank:
        return Bank(
            code=code,
            name=code,
            adapter=self.adapter.code,
            wire=next(iter(self.adapter.routes)),
            customer=self._customer,
            format_options=self._options,
        )

    def debit_account(self, key: Key) -> str:
        """The account that the lines or --debit-account name, else the configured bank's for the fund."""
        if key.debit_account != NO_ACCOUNT:
            return key.debit_account
        return self.partner(key.bank).bank.debit_accounts.get(key.fund, NO_ACCOUNT)

    def crypto(self, key: Path | None, cert: Path | None, password: str) -> Crypto | None:
        """What seals; None where nobody names a key for every bank. Raises Refused for a key that does not open."""
        clock, work = SystemClock(), InlineWork()
        if self.adapter.seal is None:
            return None
        if key is not None:
            file = KeyFile(
                use="sign",
                file=str(key.absolute()),
                certificate=str(cert.absolute()) if cert else "",
                password=password,
            )
            credentials = self.config.credentials if self.config else Credentials()
            self._given = True
            return ConfiguredCrypto(KeyFiles(keys={GIVEN_KEY: file}), credentials, clock, work, folder=Path())
        if self.config is None:
            return None
        names = {partner.bank.sign_key for partner in self._partners.values()}
        if not names <= set(self.config.keys.keys):
            return None
        files = KeyFiles(keys={name: self.config.keys.keys[name] for name in names})
        return ConfiguredCrypto(files, self.config.credentials, clock, work, folder=self.config.folder)

    def sign_key(self, bank: Bank) -> str:
        """The name of the key that seals what this bank gets."""
        return GIVEN_KEY if self._given else bank.sign_key


def _options_of(adapter: Adapter, given: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE as the format's own types. Raises Refused SCHEMA."""
    texts = dict(one.partition("=")[::2] for one in given)
    if not texts:
        return {}
    if adapter.options is None:
        raise Refused(f"{adapter.code} has no options of its own", code=Code.SCHEMA, where="--option")
    try:
        found = msgspec.convert(texts, adapter.options, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(str(error), code=Code.SCHEMA, where="--option") from None
    values: dict[str, Any] = msgspec.to_builtins(found)
    return {name: values[name] for name in texts}
