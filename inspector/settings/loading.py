"""Reads a configuration and remembers where each value came from."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource

from inspector.errors import ConfigError
from inspector.settings.places import find_credential
from inspector.settings.sections import Settings

ENV_PREFIX = "INSPECTOR_"
RESERVED_ENV = frozenset({"INSPECTOR_TEST_DATA", "INSPECTOR_TRAINING_DATA", "INSPECTOR_CRASH_AT"})
"""Variables with the prefix that are no configuration: folders of pictures, and where `faults` ends the process."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where each value came from (`file`, `env NAME`, `credential`, `default`), by `section.key`."""

    settings: Settings
    origins: Mapping[str, str]
    path: Path | None


def load_settings(
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Read and check a configuration.

    Args:
        path: TOML file; None takes environment and overrides alone.
        overrides: From the command line, by `section.key`.
        environ: Environment; `CREDENTIALS_DIRECTORY` may hold `mqtt.password`, `mqtt.key`, `http.token` and
            `source.credentials`. Where it is not set and `path` is a station's file in /etc/inspector, they are looked
            for where the station's unit takes them from, so that a command by hand sees what the unit sees.

    Raises:
        ConfigError: Names file or variable, key, and what is wrong with it.
    """
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}

    def put(section: str, key: str, value: Any, origin: str) -> None:
        values.setdefault(section, {})[key] = value
        origins[f"{section}.{key}"] = origin

    if path is not None:
        for section, table in _read_toml(path).items():
            if not isinstance(table, dict):
                raise ConfigError(f"{path}: {section}: unknown key, or a [{section}] table is wanted")
            values.setdefault(section, {})
            for key, value in table.items():
                put(section, key, value, str(path))
    _apply_credentials(put, path, environ)
    _apply_environ(put, environ)
    for dotted, value in (overrides or {}).items():
        section, _, key = dotted.partition(".")
        put(section, key, value, "command line")
    try:
        settings = Settings(**values)  # type: ignore[arg-type]
    except ValidationError as exc:
        raise ConfigError("\n".join(_explain(error, origins, path) for error in exc.errors(include_url=False))) from exc
    for section, model in settings:
        for key in type(model).model_fields:
            origins.setdefault(f"{section}.{key}", "default")
    return Loaded(settings, origins, path)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not TOML: {exc}") from exc


_CREDENTIALS = {
    "mqtt.password": "mqtt.password_file",
    "mqtt.key": "mqtt.key_file",
    "http.token": "http.token_file",
    "source.credentials": "source.credentials_file",
}
"""Names of systemd credentials and the key that each one sets."""


def _apply_credentials(put: Any, path: Path | None, environ: Mapping[str, str]) -> None:
    for name, dotted in _CREDENTIALS.items():
        if file := find_credential(name, path, environ):
            section, _, key = dotted.partition(".")
            put(section, key, str(file), f"credential {name}")


def _apply_environ(put: Any, environ: Mapping[str, str]) -> None:
    known = {
        f"{ENV_PREFIX}{section}__{key}".upper(): (section, key)
        for section, field in Settings.model_fields.items()
        for key in _section_class(field.annotation).model_fields
    }
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith(ENV_PREFIX) or upper in RESERVED_ENV:
            continue
        if upper not in known:
            raise ConfigError(f"environment: unknown variable: {name}")
        section, key = known[upper]
        field = _section_class(Settings.model_fields[section].annotation).model_fields[key]
        source = EnvSettingsSource(Settings)
        try:
            value = source.prepare_field_value(key, field, environ[name], source.field_is_complex(field))
        except ValueError as exc:
            raise ConfigError(f"environment: {name}: JSON is wanted for {section}.{key}: {environ[name]!r}") from exc
        put(section, key, value, f"env {name}")


def _section_class(annotation: Any) -> type[BaseModel]:
    return cast(type[BaseModel], annotation)


def _explain(error: Any, origins: Mapping[str, str], path: Path | None) -> str:
    dotted = ".".join(str(part) for part in error["loc"])
    parts = dotted.split(".")
    origin = origins.get(".".join(parts[:2])) or str(path or "configuration")
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "unknown key"
    elif error["type"] == "missing":
        message = "missing"
    hidden = error["type"] in {"missing", "value_error", "extra_forbidden"}  # an unknown key may hold a secret
    shown = "" if hidden else f": {error['input']!r}"
    return f"{origin}: {dotted}: {message}{shown}"
