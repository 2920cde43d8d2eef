"""What a release has written, every later one reads: `tests/compat/VERSION` keeps a piece of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import inspector
from inspector.model.bundle import load_bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import MAX_LOGIT_STEPS, check_golden
from inspector.settings.loading import load_settings

RELEASES = sorted(path for path in Path(__file__).parent.iterdir() if (path / "station.toml").is_file())
SCHEMAS = Path(inspector.__file__).parent / "schemas"
MESSAGES = [
    pytest.param(line, id=f"{release.name}-{number}")
    for release in RELEASES
    for number, line in enumerate((release / "messages.jsonl").read_text("utf-8").splitlines(), 1)
]


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_its_configuration_is_taken(release: Path) -> None:
    """A configuration with keys of every section is read, and each key counts as written in the file."""
    file = release / "station.toml"
    loaded = load_settings(file, environ={})
    written = {key for key, origin in loaded.origins.items() if origin == str(file)}

    assert len(written) > 30
    assert {section for section, _, _ in (key.partition(".") for key in written)} == {
        "station", "source", "tiling", "model", "decision", "events", "mqtt", "store", "http",
    }  # fmt: skip


@pytest.mark.parametrize(
    "release", [path for path in RELEASES if (path / "bundle").is_dir()], ids=lambda path: path.name
)
def test_its_bundle_is_taken(release: Path) -> None:
    """A bundle that it wrote scores as it did; one of format 1 is taken with a warning that says what to do."""
    bundle = load_bundle(release / "bundle")
    result = check_golden(Classifier(bundle))

    assert result.max_steps <= MAX_LOGIT_STEPS
    if bundle.card.format == 1:
        assert [f"`inspector card {bundle.root}` writes format 2" in warning for warning in bundle.warnings] == [True]


@pytest.mark.parametrize("line", MESSAGES)
def test_its_messages_hold_the_schema_that_they_name(line: str) -> None:
    """The schema that a stored message names is still shipped, and the message holds it."""
    message = json.loads(line)
    _, topic, version = message["schema"].split("/")
    schema = json.loads((SCHEMAS / f"{topic}-{version}.json").read_text("utf-8"))

    assert list(Draft202012Validator(schema).iter_errors(message)) == []
