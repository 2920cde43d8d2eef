"""The JSON Schema of each message type, as files: `python -m inspector.schema_files` writes `inspector/schemas`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inspector.messages import MESSAGE_TYPES, schema_file

CLOSED = ("mark-1.json",)
"""Schemas that were published before they were opened to further keys."""


def schema_files() -> dict[str, str]:
    """Return the JSON Schema text of each message type by file name."""
    files = {}
    for topic, kind in MESSAGE_TYPES.items():
        schema = kind.model_json_schema(by_alias=True, mode="serialization")
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        name = schema_file(topic)
        files[name] = json.dumps(schema if name in CLOSED else _opened(schema), indent=1, sort_keys=True) + "\n"
    return files


def _opened(schema: Any) -> Any:
    """Return the schema without its bans on further keys: a message may have more tomorrow."""
    if isinstance(schema, dict):
        return {key: _opened(value) for key, value in schema.items() if key != "additionalProperties"}
    return [_opened(value) for value in schema] if isinstance(schema, list) else schema


def write_schemas(folder: Path) -> None:
    """Write the schema files."""
    for name, text in schema_files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(__file__).parent / "schemas")
