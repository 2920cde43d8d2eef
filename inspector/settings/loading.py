"""Reads a configuration and remembers where each value came from.

Order: command line > environment `INSPECTOR_SECTION__KEY` > secret files > TOML > defaults. Unknown keys and unknown
`INSPECTOR_*` variables are refused by name. Each place is a source of pydantic-settings (docs/decisions/0013); a value
is replaced whole, key by key, never merged: two tables of thresholds are not one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError

from inspector.errors import ConfigError
from inspector.settings.bounds import MAX_FILE_BYTES, find_fault
from inspector.settings.explain import explain_error
from inspector.settings.hints import hint_of_variable
from inspector.settings.places import find_credential
from inspector.settings.sections import Settings
from inspector.settings.toml_file import parse_toml

ENV_PREFIX = "INSPECTOR_"
RESERVED_ENV = frozenset({"INSPECTOR_TEST_DATA", "INSPECTOR_TRAINING_DATA", "INSPECTOR_CRASH_AT"})
"""Variables with the prefix that are not configuration: folders of pictures, and where `faults` ends the process."""
CREDENTIALS = {
    "mqtt.password": "mqtt.password_file",
    "mqtt.key": "mqtt.key_file",
    "http.token": "http.token_file",
    "source.credentials": "source.credentials_file",
}
"""Names of systemd credentials and the key that each one sets."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where each value came from, by `section.key`.

    A value in an array of tables has its number in its name: `recipe.0.name`.

    Attributes:
        settings: What is configured.
        origins: The file, `env NAME`, `credential NAME`, `command line` or `default`.
        path: The file.
        unused: Names of given values that no part of the station uses.
    """

    settings: Settings
    origins: Mapping[str, str]
    path: Path | None
    unused: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for people: what is ignored now and will be refused by the next release."""
        return tuple(
            f"{self.origins[name]}: {name}: kind = {self.settings.source.kind!r} does not use this key,"
            " and the next release refuses it"
            for name in self.unused
        )

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield every value by the same names as `origins`."""
        for section, model in self.settings:
            rows = {section: model} if isinstance(model, BaseModel) else _numbered(section, model)
            for name, row in rows.items():
                yield from ((f"{name}.{key}", value) for key, value in row)

    def json_values(self) -> dict[str, Any]:
        """Return every value as JSON, by the same names as `origins`."""
        return dict(_named_values(self.settings.model_dump(mode="json")))


def load_settings(
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
    settings_class: type[Settings] = Settings,
) -> Loaded:
    """Read and check a configuration.

    Args:
        path: TOML file; None takes environment and overrides alone.
        overrides: From the command line, by `section.key`.
        environ: Environment; `CREDENTIALS_DIRECTORY` may hold `mqtt.password`, `mqtt.key`, `http.token` and
            `source.credentials`. Where it is not set and `path` is a station's file in /etc/inspector, they are looked
            for where the station's unit takes them from, so that a command by hand sees what the unit sees.
        settings_class: What is read: the sections and their keys.

    Raises:
        ConfigError: Names file or variable, key, and what is wrong with it.
    """
    layers = [
        *_command_line(settings_class, overrides or {}),
        *_environment(settings_class, environ),
        *_credentials(settings_class, path, environ),
        *_file(settings_class, path),
    ]
    try:
        settings = settings_class(_build_sources=(tuple(layers), {}))  # type: ignore[call-arg]
    except ValidationError as exc:
        origins = _origins(layers)
        keys, errors = sections_of(settings_class), exc.errors(include_url=False)
        raise ConfigError("\n".join(explain_error(error, origins, path, keys) for error in errors)) from exc
    origins = _origins(layers)
    used = dict(Loaded(settings, origins, path).items())
    unused = tuple(sorted(origins.keys() - used.keys()))
    return Loaded(settings, dict.fromkeys(used, "default") | origins, path, unused)


class Layer(InitSettingsSource):
    """Values from one place, by section and key; those that a stronger layer has set are left out.

    Args:
        settings_class: What is read.
        values: By section, then key; an array of tables is a list.
        origin: What to call the place.

    Raises:
        ConfigError: A value is beyond the bounds that hold for all.

    Attributes:
        given: Names of the values that came from here, once it was read.
    """

    def __init__(self, settings_class: type[BaseSettings], values: dict[str, Any], origin: str) -> None:
        for name, value in _named_values(values):
            if fault := find_fault(value):
                raise ConfigError(f"{origin}: {name}: {fault}")
        super().__init__(settings_class, values)
        self.origin = origin
        self.given: tuple[str, ...] = ()

    def __call__(self) -> dict[str, Any]:
        """Return the values; the library calls it, the strongest layer first."""
        values: dict[str, Any] = {}
        for section, table in super().__call__().items():
            stronger = self.current_state.get(section, {})
            if isinstance(table, dict):
                values[section] = {key: value for key, value in table.items() if key not in stronger}
            elif not stronger:
                values[section] = table
        self.given = tuple(name for name, _ in _named_values(values))
        return values


def _named_values(sections: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, table in sections.items():
        if isinstance(table, dict):
            yield from ((f"{section}.{key}", value) for key, value in table.items())
        elif isinstance(table, list):
            yield from _named_values(_numbered(section, table))


def _numbered(section: str, rows: Sequence[Any]) -> dict[str, Any]:
    return {f"{section}.{number}": row for number, row in enumerate(rows)}


def _origins(layers: list[Layer]) -> dict[str, str]:
    return {name: layer.origin for layer in layers for name in layer.given}


def _command_line(settings_class: type[Settings], overrides: Mapping[str, Any]) -> Iterator[Layer]:
    for dotted, value in overrides.items():
        section, _, key = dotted.partition(".")
        yield Layer(settings_class, {section: {key: value}}, "command line")


def _environment(settings_class: type[Settings], environ: Mapping[str, str]) -> Iterator[Layer]:
    known = {
        f"{ENV_PREFIX}{section}__{key}".upper(): (section, key, field)
        for section, keys in sections_of(settings_class).items()
        for key, field in keys.items()
    }
    source = EnvSettingsSource(settings_class, case_sensitive=False, env_prefix=ENV_PREFIX, env_nested_delimiter="__")
    for name in sorted(environ, reverse=True):  # of two spellings of one name the small letters win
        upper = name.upper()
        if not upper.startswith(ENV_PREFIX) or upper in RESERVED_ENV:
            continue
        if upper not in known:
            raise ConfigError(f"environment: unknown variable: {name}{hint_of_variable(name, known)}")
        section, key, field = known[upper]
        no_json = ConfigError(f"environment: {name}: JSON is wanted for {section}.{key}: {environ[name]!r}")
        if not environ[name] and source.field_is_complex(field):  # the library would take it for text
            raise no_json
        source.env_vars = {name.lower(): environ[name]}
        try:
            values = source()
        except (SettingsError, RecursionError) as exc:
            raise no_json from exc
        yield Layer(settings_class, values, f"env {name}")


def _credentials(settings_class: type[Settings], path: Path | None, environ: Mapping[str, str]) -> Iterator[Layer]:
    for name, dotted in CREDENTIALS.items():
        if file := find_credential(name, path, environ):
            section, _, key = dotted.partition(".")
            yield Layer(settings_class, {section: {key: str(file)}}, f"credential {name}")


class _TomlFile(TomlConfigSettingsSource):
    """A TOML file that has to be there: the library's own passes over one that is absent, and over a pipe."""

    def _read_files(self, files: Any, deep_merge: bool = False) -> dict[str, Any]:
        return self._read_file(files)

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        with file_path.open("rb") as file:
            return parse_toml(file.read(MAX_FILE_BYTES + 1))


def _file(settings_class: type[Settings], path: Path | None) -> Iterator[Layer]:
    if path is None:
        return
    try:
        values = _TomlFile(settings_class, path)()
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:  # TOML's own error, bytes that are no UTF-8, digits or depth without end
        raise ConfigError(f"{path}: not TOML: {exc}") from exc
    for section, field in settings_class.model_fields.items():
        if section in values:
            _require_table(f"{path}: {section}", section, values[section], array=_is_array(field))
    yield Layer(settings_class, values, str(path))


def _require_table(where: str, section: str, value: Any, *, array: bool) -> None:
    if array and not (isinstance(value, list) and all(isinstance(row, dict) for row in value)):
        raise ConfigError(f"{where}: tables [[{section}]] are wanted")
    if not array and not isinstance(value, dict):
        raise ConfigError(f"{where}: a [{section}] table is wanted")


def sections_of(settings_class: type[Settings] = Settings) -> dict[str, dict[str, FieldInfo]]:
    """Return the keys of each section that is one table, with what is declared of them; of `source`, of all kinds."""
    found: dict[str, dict[str, FieldInfo]] = {}
    for section, field in settings_class.model_fields.items():
        for model in get_args(field.annotation) or (field.annotation,):
            if isinstance(model, type) and issubclass(model, BaseModel) and not _is_array(field):
                found[section] = dict(model.model_fields) | found.get(section, {})
    return found


def _is_array(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple
