"""The documents say what the code does: generated parts are current, TOML loads, the example holds the schema."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from inspector.messages import MESSAGE_TYPES
from inspector.settings.loading import load_settings, sections_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
CONFIGURATION = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
MESSAGES = (ROOT / "docs/reference/messages.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])


def fenced(kind: str, text: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("script", ["write_docs.py", "write_manual.py", "write_figures.py", "write_mills.py"])
def test_the_generated_parts_are_current(script: str) -> None:
    """Writing reference, manual and example from the code, and the models' figures, would change nothing."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / script, "--check"], check=False)

    assert done.returncode == 0, f"run: scripts/with-test python scripts/{script}"


def test_every_toml_block_is_a_configuration_that_loads(tmp_path: Path) -> None:
    """The smallest and the annotated file are both taken, and mean the same: the annotated values are the defaults."""
    loaded = []
    for number, block in enumerate([*fenced("toml", README), *fenced("toml", CONFIGURATION)]):
        path = tmp_path / f"{number}.toml"
        path.write_text(block)
        loaded.append(load_settings(path, environ={}))

    assert len(loaded) == 2
    assert loaded[0].settings == loaded[1].settings
    assert [one.warnings for one in loaded] == [(), ()]


def test_the_annotated_toml_names_every_key() -> None:
    """No key of the settings is missing from the reference, neither from the file nor from the table."""
    (annotated,) = fenced("toml", CONFIGURATION)
    for section, keys in sections_of().items():
        part = annotated.partition(f"[{section}]")[2].partition("\n[")[0]
        for key in keys:
            assert re.search(rf"^(# )?{key} =", part, re.MULTILINE), f"{section}.{key}"
            assert f"\n| `{section}.{key}` | " in CONFIGURATION


def test_the_example_message_holds_its_schema() -> None:
    """The defect of the reference validates against the shipped schema."""
    (example,) = fenced("json", MESSAGES)
    schema = json.loads((ROOT / "inspector" / "schemas" / "defect-2.json").read_text())

    Draft202012Validator(schema).validate(json.loads(example))


def test_the_reference_explains_every_topic() -> None:
    """Each message type has its row in the table of topics and its list of keys."""
    for topic in MESSAGE_TYPES:
        assert re.search(rf"^\| [^|]*`{topic}`", MESSAGES, re.MULTILINE), topic
        assert f"\n### {topic}\n" in MESSAGES, topic


def test_the_readme_is_short() -> None:
    """The README is read in one sitting; what is longer stands in `docs/`."""
    assert len(README.splitlines()) <= 170


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    """Relative links name files of the repository."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\((?![a-z]+:)([^)#\s]+)", text):
        assert (page.parent / target).exists(), target


def test_every_question_of_the_training_log_has_its_answer() -> None:
    """Below each question: what was tried, what it gave, whether it was kept. The index leads to every dated part."""
    log = (ROOT / "training" / "LOG.md").read_text("utf-8")
    index, *parts = re.split(r"^## (?=\d)", log, flags=re.MULTILINE)
    linked = set(re.findall(r"\(#([\w-]+)\)", index))
    titles = [part.partition("\n")[0] for part in parts]
    questions = [question for part in parts for question in part.split("\n### ")[1:]]

    assert linked <= {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert len(questions) > 90
    for question in questions:
        assert re.findall(r"^\*\*(Tried\.|Gave\.|Kept\?)\*\*", question, re.MULTILINE) == [
            "Tried.",
            "Gave.",
            "Kept?",
        ], question.partition("\n")[0]
