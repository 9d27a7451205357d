"""Settings as a command sees them: the environment and the file, and the local stack where it runs."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from connectors.cli.failure import usage
from connectors.local.errors import LocalError
from connectors.local.home import Home
from connectors.local.stack import Endpoints, endpoints_in_part, running_endpoints
from schemas.codec import Codec
from schemas.registry import RemoteRegistry
from streams.runtime.settings import Settings


def settings() -> Settings:
    """The merged settings; a wrong one ends the command with its name."""
    named = os.environ.get("HES_SETTINGS")
    if named and not Path(named).is_file():
        raise usage(f"HES_SETTINGS names {named}, which is no file", "correct it, or unset it")
    try:
        given = Settings()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = "HES_" + "__".join(str(part).upper() for part in first["loc"])
        raise usage(f"the setting {name} is wrong: {first['msg']}", "correct it in the environment or the file") from error
    except (SettingsError, ValueError, OSError) as error:
        raise usage(
            f"the settings cannot be read: {error}", "correct the environment or the file that HES_SETTINGS names"
        ) from error
    # The demo has a home of its own, and counts where no other stack runs. A stack of which a part has died is meant all the
    # same: whatever else may listen where the settings point by default is not.
    for found in (running_endpoints, endpoints_in_part):
        for place in (home(), Home.of(home().data("demo"))):
            if (endpoints := found(place.root)) is not None:
                return with_local(given, endpoints, place)
    return given


def with_local(given: Settings, endpoints: Endpoints, place: Home, *, always: bool = False) -> Settings:
    """The settings with the addresses and keys of a local stack: where none were set, or always."""

    def is_set(group: str, name: str) -> bool:
        return not always and name in getattr(given, group).model_fields_set

    updates = {
        "kafka": {} if is_set("kafka", "bootstrap") else {"bootstrap": endpoints.kafka},
        "registry": {} if is_set("registry", "url") else {"url": endpoints.registry},
        "clickhouse": {} if is_set("clickhouse", "url") else {"url": SecretStr(endpoints.clickhouse)},
        "gateway": {} if is_set("gateway", "key_file") else _local_keys(place),
        "commands": {} if is_set("commands", "root_key") else {"root_key": _local_root(place)},
    }
    return given.model_copy(
        update={group: getattr(given, group).model_copy(update=update) for group, update in updates.items()}
    )


def _local_keys(place: Home) -> dict[str, str]:
    keys = place.data("keys")
    return {"key_file": str(keys / "meters.json"), "master_key_file": str(keys / "master.key")}


def root_key_file(place: Home) -> Path:
    """Where `hes operators keygen` pins this machine's root key, for the local stack."""
    return place.data("keys") / "root.pub"


def _local_root(place: Home) -> str:
    file = root_key_file(place)
    return file.read_text().strip() if file.is_file() else ""


def addresses(given: Settings) -> dict[str, str]:
    """The environment in which a child process has these settings' addresses and files, and what else is set here."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("HES_")}
    return ours | {
        "HES_KAFKA__BOOTSTRAP": given.kafka.bootstrap,
        "HES_REGISTRY__URL": given.registry.url,
        "HES_CLICKHOUSE__URL": given.clickhouse.url.get_secret_value(),
        "HES_GATEWAY__KEY_FILE": given.gateway.key_file,
        "HES_GATEWAY__MASTER_KEY_FILE": given.gateway.master_key_file,
        "HES_COMMANDS__ROOT_KEY": given.commands.root_key,
    }


def home() -> Home:
    """Where the local stack, replays and keys of this user are."""
    try:
        return Home.of()
    except LocalError as error:
        raise usage(str(error), error.mend) from error


def codec(given: Settings) -> Codec:
    """A codec on the registry that the settings name."""
    try:
        return Codec(RemoteRegistry(given.registry.url))
    except ValueError as error:
        raise usage(f"HES_REGISTRY__URL is no address: {error}", "write it like http://registry:8081") from error
