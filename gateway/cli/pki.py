"""``sheyin pki dev``: throwaway keys, so that a trial needs nobody. Never for production."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from gateway.cli import config as configuration
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.core.errors import Code, Refused
from gateway.edge.crypto import pki

app = App(name="pki")
DEFAULT_FOLDER = Path("certs/dev")


@app.command
def dev(
    folder: Path | None = None,
    *,
    bank: Annotated[tuple[str, ...], Parameter(name="--bank", negative="")] = (),
    overlap: Annotated[tuple[str, ...], Parameter(name="--overlap", negative="")] = (),
    sm2: Annotated[tuple[str, ...], Parameter(name="--sm2", negative="")] = (),
    service: bool = False,
    overwrite: bool = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> Exit:
    """Make throwaway keys and certificates for the bureau and its banks, in a folder that git ignores.

    What is there already stays. The private keys of the banks are for the sandbox; in production a bank's key exists at the bank only.

    Parameters
    ----------
    folder
        Where to; without it the configuration's credentials_dir, else certs/dev.
    bank
        Code of a bank; may be given several times. Without it the configured banks.
    overlap
        Code of a bank that gets a second signing pair, to try a change-over.
    sm2
        Code of a bank that speaks the commercial ciphers: it and the bureau get SM2 pairs (signing and encryption apart) and share an SM4 key.
    service
        TLS for a signing service on this machine as well.
    overwrite
        Make new keys for all names, also where there are some.
    """
    output = Output(as_json)
    path = configuration.find(config)
    loaded = configuration.load(path, files=False) if path is not None else None
    if loaded is not None and loaded.gateway.production:
        raise Refused(
            "throwaway keys are not for an installation that is in production", where=loaded.key("gateway.production")
        )
    configured = [one.code for one in loaded.banks] if loaded else []
    codes = list(dict.fromkeys((*(bank or configured), *overlap, *sm2)))
    if not codes:
        raise Refused("no bank is configured: name some with --bank", code=Code.SCHEMA, where="--bank")
    folder = folder or (loaded.credentials_dir if loaded else None) or DEFAULT_FOLDER
    made = pki.make(
        folder,
        codes,
        datetime.now(UTC) - timedelta(days=1),
        overlap=overlap,
        sm2_banks=sm2,
        service=service,
        overwrite=overwrite,
    )
    if as_json:
        output.json({"folder": str(folder), "made": made.made, "kept": made.kept, "banks": codes})
        return Exit.OK
    output.say(f"{folder}: {len(made.made)} files made, {len(made.kept)} kept")
    for name in made.made:
        output.say(f"  {name}")
    if loaded is None:
        output.say("`sheyin init` writes a configuration that names them.")
    return Exit.OK
