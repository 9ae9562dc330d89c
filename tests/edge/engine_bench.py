"""The three places where our private keys can live, each with the same keys: files, a SoftHSM token, a signing service."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from msgspec.structs import replace

from gateway.core.ports import Work
from gateway.edge.clock import ManualClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto, KeyFile, KeyFiles
from gateway.edge.crypto.keys import Device, Service, load_keys
from gateway.edge.crypto.pki import DevPki, make
from gateway.edge.work import ThreadWork
from gateway.sandbox.signing_service import SigningService

JUNE = datetime(2015, 6, 10, tzinfo=UTC)
PIN = "482913"
TOKEN = "sheyin"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
)


def module() -> str:
    """SoftHSM's library, or ""."""
    return next((path for path in MODULES if Path(path).is_file()), "")


def make_keys(folder: Path) -> DevPki:
    """The bureau's keys, RSA and SM2, valid today (TLS looks at the machine's clock) and in June 2015."""
    return make(folder, ["BANK_A"], datetime(2015, 1, 1, tzinfo=UTC), years=50, sm2_banks=["BANK_A"], service=True)


def make_token(keys: DevPki, folder: Path, outside_program: Callable[[str], str]) -> None:
    """A token with the bureau's RSA keys; SoftHSM finds it by the environment, once for this process."""
    program = outside_program("softhsm2-util")
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    words = [program, "--init-token", "--free", "--label", TOKEN, "--so-pin", PIN, "--pin", PIN]
    subprocess.run(words, check=True, capture_output=True)
    for number, name in enumerate(("bureau-sign", "bureau-decrypt"), 1):
        key = load_pem_private_key((keys.folder / f"{name}.key").read_bytes(), None)
        plain = folder / f"{name}.p8"
        plain.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        words = [program, "--import", str(plain), "--token", TOKEN, "--label", name, "--id", f"0{number}", "--pin", PIN]
        subprocess.run(words, check=True, capture_output=True)
        plain.unlink()


def engine_files(keys: DevPki, engine: str, options: Device | Service | None) -> KeyFiles:
    """The bureau's configuration with every key in ``engine``; in files where that is none."""
    if options is None:
        return keys.bureau
    held = {
        name: KeyFile(use=file.use, engine=engine, certificate=file.certificate)
        for name, file in keys.bureau.keys.items()
    }
    return replace(keys.bureau, keys=held, engines={engine: options})


def device(pin: str = "token-pin", token: str = TOKEN, library: str = "", deadline_s: int = 5) -> Device:
    """The token as the configuration names it."""
    return Device(module=library or module(), token=token, pin=pin, deadline_s=deadline_s)


def service(address: str, deadline_s: int = 5, client: str = "signing-service-client") -> Service:
    """The service as the configuration names it."""
    return Service(
        address=address,
        ca="signing-service.crt",
        certificate=f"{client}.crt",
        key=f"{client}.key",
        deadline_s=deadline_s,
    )


def port(keys: DevPki, files: KeyFiles, work: Work | None = None, pin: str = PIN) -> ConfiguredCrypto:
    """The Crypto port over it, in June 2015."""
    credentials = Credentials(keys.folder, {"SHEYIN_CREDENTIAL_TOKEN_PIN": pin})
    return ConfiguredCrypto(files, credentials, ManualClock(JUNE), work or ThreadWork(2), folder=keys.folder)


@contextlib.asynccontextmanager
async def running_service(keys: DevPki) -> AsyncIterator[SigningService]:
    """A signing service with the bureau's keys, which lets our client in."""
    held = load_keys(keys.bureau.keys, Credentials(keys.folder, {}), keys.folder)
    folder = keys.folder
    tls = (folder / "signing-service.crt", folder / "signing-service.key", folder / "signing-service-client.crt")
    async with SigningService(held, *tls) as running:
        yield running


def forget_token(folder: Path) -> None:
    """Nothing of the token stays behind."""
    shutil.rmtree(folder / "tokens", ignore_errors=True)
    os.environ.pop("SOFTHSM2_CONF", None)
