"""Every key in words: what it means, accepts and is unless it is set; the commented example is made of this.

Nothing is said here that a section does not declare; the tables of the reference and the manual come from here, too.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from inspector.settings.alarm import Labels, LabelWords
from inspector.settings.recipe import Recipe
from inspector.settings.sections import Settings
from inspector.settings.source import SOURCE_KINDS, SourceOptions

EXAMPLE = Path(__file__).with_name("example.toml")
"""What `example_toml` returns, as a file of the package."""
REQUIRED = {"station.site": '"site"', "station.line": '"line"', "station.name": '"cam1"', "source.kind": '"folder"',
            "source.path": '"/srv/frames"'}  # fmt: skip
"""What the example sets; everything else has a default."""
TYPES = {"integer": "whole number", "boolean": "true or false", "string": "text", "object": "table"}
FORMS = {"path": "path"}
"""Words for texts of a fixed form, by format or pattern."""
ANY = "NAME"
"""Stands for any label in the name of its table."""
_COLUMNS = 110
_HEAD = f"""\
# Every key of a station, with its default. What begins with #key is at its default: remove the # to change it.
#
#   inspector check --config FILE   says what is wrong with which key, and shows what is in force
#   inspector keys WORD             looks a key up
#
# Values from elsewhere are stronger than this file: command line, INSPECTOR_SECTION__KEY, secret files (credentials).
# {len(REQUIRED)} keys have to be set; they stand here without #.
"""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key in words.

    Attributes:
        section: Its table.
        key: Its name in there.
        says: What it is.
        accepts: Type and range in words; of a choice the words, separated by commas.
        words: The words of a choice, or none.
        default: As TOML, `required` or `unset`.
        kinds: Kinds of source that use it; empty: all, or no key of a source.
    """

    section: str
    key: str
    says: str
    accepts: str
    words: tuple[str, ...]
    default: str
    kinds: tuple[str, ...]

    @property
    def name(self) -> str:
        """`section.key`."""
        return f"{self.section}.{self.key}"


def section_models() -> Iterator[tuple[str, list[type[BaseModel]]]]:
    """Yield each section of the configuration with its class, `source` with one for each kind."""
    for section, field in Settings.model_fields.items():
        if section == "source":
            yield section, list(SOURCE_KINDS.values())
            continue
        if section == "recipe":
            yield section, [Recipe]
            continue
        assert isinstance(field.annotation, type)  # noqa: S101 - Settings is ours
        assert issubclass(field.annotation, BaseModel)  # noqa: S101
        yield (f"{section}.{ANY}", [LabelWords]) if field.annotation is Labels else (section, [field.annotation])


def key_rows() -> Iterator[KeyRow]:
    """Yield every key, section by section."""
    for section, models in section_models():
        for key in dict.fromkeys(key for model in models for key in model.model_fields):
            users = [model for model in models if key in model.model_fields]
            entry, schema = users[0].model_fields[key], users[0].model_json_schema()
            part = schema["properties"][key]
            words = tuple(SOURCE_KINDS) if f"{section}.{key}" == "source.kind" else words_of(part, schema)
            required = entry.is_required() or f"{section}.{key}" == "source.kind"
            default = "required" if required else "unset" if entry.default is None else toml_value(entry.default)
            kinds = [kind for kind, model in SOURCE_KINDS.items() if model in users] if len(users) < len(models) else []
            accepts = accepted(part, schema).replace("`", "").removesuffix(" or null")  # TOML has no null
            says = _sentence(section, key, users)
            yield KeyRow(section, key, says, ", ".join(words) or accepts, words, default, tuple(kinds))


def _sentence(section: str, key: str, users: list[type[BaseModel]]) -> str:
    """Return what a key is; if that differs among kinds of source, each with its kind."""
    if (section, key) == ("source", "kind"):
        return "The kind of source; some keys below belong to some kinds alone."
    said = [str(model.model_fields[key].description) for model in users]
    if len(set(said)) == 1:
        return said[0]
    kinds = [kind for kind, model in SOURCE_KINDS.items() if model in users]
    return " ".join(f"{kind}: {text}" for kind, text in zip(kinds, said, strict=True))


def table_name(section: str, comment: str = "#") -> str:
    """Return the heading of a section; commented out where there may be several."""
    if section == "recipe":
        return f"{comment}[[recipe]]"
    return f"{comment if section.endswith(ANY) else ''}[{section}]"


def first_line(kind: type) -> str:
    """Return the first line of a docstring."""
    return (kind.__doc__ or "").splitlines()[0]


def toml_value(value: object) -> str:
    """Return a default as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def words_of(part: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words of a choice, or nothing if a part of a JSON Schema is none."""
    if "$ref" in part:
        return words_of(schema["$defs"][part["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in part:
        return tuple(word for choice in part["anyOf"] for word in words_of(choice, schema))
    return tuple(str(value) for value in part.get("enum", [part["const"]] if "const" in part else []))


def accepted(part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return in words what a part of a JSON Schema accepts: type, range, values."""
    if "$ref" in part:
        return accepted(schema["$defs"][part["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in part:
        return " or ".join(accepted(choice, schema) for choice in part["anyOf"])
    if "const" in part or "enum" in part:
        return ", ".join(f"`{value}`" for value in part.get("enum", [part.get("const")]))
    if part["type"] == "array":
        if "prefixItems" in part:
            return f"[{', '.join(accepted(item, schema) for item in part['prefixItems'])}]"
        return f"list of {accepted(part['items'], schema)}"
    if isinstance(values := part.get("additionalProperties"), dict):
        return f"table of {accepted(values, schema)}"
    form = part.get("format", part.get("pattern"))
    return FORMS.get(form, "") or TYPES.get(part["type"], part["type"]) + limits(part)


def limits(part: Mapping[str, Any]) -> str:
    """Return the bounds of a number, or of the length of a text, as words."""
    if part["type"] == "string":
        low, high = part.get("minLength"), part.get("maxLength")
        span = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
        return f" of {span} character{'' if span.endswith(' 1') else 's'}" if span else ""
    low, above, high = (_figure(part.get(bound)) for bound in ("minimum", "exclusiveMinimum", "maximum"))
    if above:
        return f" over {above}" + (f", at most {high}" if high else "")
    if low:
        return f" {low} to {high}" if high else f" from {low}"
    return f" up to {high}" if high else ""


def _figure(value: float | None) -> str:
    return "" if value is None else str(int(value) if value == int(value) else value)


def example_toml() -> str:
    """Return a configuration that runs, with every other key commented out at its default."""
    rows, blocks = list(key_rows()), [_HEAD]
    for section, models in section_models():
        says = first_line(SourceOptions if section == "source" else models[0])
        lines = [f"# {says}", table_name(section)]
        for row in sorted((row for row in rows if row.section == section), key=lambda row: row.name not in REQUIRED):
            lines += ["", *_example_lines(row)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _example_lines(row: KeyRow) -> Iterator[str]:
    kinds = f" (Kind {', '.join(row.kinds)}.)" if row.kinds else ""
    yield from textwrap.wrap(row.says + kinds, _COLUMNS, initial_indent="# ", subsequent_indent="# ")
    yield from textwrap.wrap(f"Accepts: {row.accepts}", _COLUMNS, initial_indent="# ", subsequent_indent="#   ")
    if row.name in REQUIRED:
        yield f"{row.key} = {REQUIRED[row.name]}"
    else:
        yield f"#{row.key} =" if row.default == "unset" else f"#{row.key} = {row.default}"
