"""The README says what the code does: its generated parts are current, its TOML loads, its example holds the schema."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from jsonschema import Draft202012Validator

from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def fenced(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_the_generated_parts_are_current() -> None:
    """`scripts/write_docs.py` would change nothing."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "write_docs.py", "--check"], check=False)

    assert done.returncode == 0, "run: .venv/bin/python scripts/write_docs.py"


def test_every_toml_block_is_a_configuration_that_loads(tmp_path: Path) -> None:
    """The smallest and the annotated file are both taken, and mean the same: the annotated values are the defaults."""
    loaded = []
    for number, block in enumerate(fenced("toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(block)
        loaded.append(load_settings(path, environ={}).settings)

    assert len(loaded) == 2
    assert loaded[0] == loaded[1]


def test_the_annotated_toml_names_every_key() -> None:
    """No key of the settings is missing from the README."""
    annotated = fenced("toml")[1]
    for section, field in Settings.model_fields.items():
        part = annotated.partition(f"[{section}]")[2].partition("\n[")[0]
        for key in field.annotation.model_fields:  # type: ignore[union-attr]
            assert re.search(rf"^(# )?{key} =", part, re.MULTILINE), f"{section}.{key}"


def test_the_example_message_holds_its_schema() -> None:
    """The defect of the README validates against the shipped schema."""
    message = json.loads(fenced("json")[0])
    schema = json.loads((ROOT / "inspector" / "schemas" / "defect-2.json").read_text())

    Draft202012Validator(schema).validate(message)
