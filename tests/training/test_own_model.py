"""`training.own_model`: one command from a folder to a bundle and one sentence."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_run import SMALL, Trained
from typer.testing import CliRunner

from inspector.model.bundle import load_bundle
from inspector.pages.language import ENGLISH, open_language
from training import __main__ as commands
from training import own_model
from training.errors import GateError
from training.judge.own_report import OwnVerdict
from training.judge.report import CATALOGUE, FOLDER
from training.own_model import Wish, make_own

COMPARED = {
    "outcome": "too_few", "more": 23, "in_service": {"k": 0, "n": 3}, "new": {"k": 3, "n": 3},
    "new_labels": ["dent"], "lost_labels": [],
}  # fmt: skip


def compared_as(trained: Trained, calls: list[Path]) -> Any:
    """Stands for fine-tuning: the finished run, and a comparison over its first group."""

    def fine_tune(recipe: Any, source: Path, data_set: Any, manifest: Any, run: Path) -> str:
        calls.append(run)
        shutil.copytree(trained.run, run)
        groups = sorted({picture.group for picture in manifest.pictures})[:5]
        (run / "comparison.json").write_text(json.dumps({**COMPARED, "held_groups": groups}))
        return "told"

    return fine_tune


def set_parity(run: Path, **changes: Any) -> None:
    row = json.loads((run / "signoff.json").read_text())
    row["parity"] |= changes
    (run / "signoff.json").write_text(json.dumps(row))


def test_one_call_packs_and_says_one_sentence(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle opens, the page begins with the sentence, and a second call does nothing anew."""
    calls: list[Path] = []
    monkeypatch.setattr(own_model, "fine_tune", compared_as(trained, calls))
    wish = Wish("small", "1.2.3", Path("neu-fast"), tmp_path / "runs", tmp_path / "bundle", ENGLISH, gate=False)
    told: list[str] = []
    made = make_own(wish, SMALL, trained.data_set, trained.manifest, told.append)
    written = (wish.output / "card.json").stat().st_mtime_ns
    again = make_own(wish, SMALL, trained.data_set, trained.manifest, told.append)
    page = html.unescape(made.report.read_text())

    assert len(calls) == 1
    assert (again.sentence, (wish.output / "card.json").stat().st_mtime_ns) == (made.sentence, written)
    assert load_bundle(made.bundle).card.version == "1.2.3"
    assert made.sentence.startswith("small decides ")
    assert made.sentence.endswith("it names 3 of 3 that both can, neu-fast 0: too few pictures to tell: 23 more.")
    assert page.index(made.sentence) < page.index("<table>")
    assert "trained already" in "".join(told)


def test_what_int8_decides_otherwise_is_not_packed(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of eight: refused with how to go on, and nothing is written to the bundle's place."""
    monkeypatch.setattr(own_model, "fine_tune", compared_as(trained, []))
    wish = Wish("small", "1.0.0", Path("neu-fast"), tmp_path / "runs", tmp_path / "bundle", ENGLISH)
    copied = compared_as(trained, [])

    def differing(*given: Any) -> str:
        copied(*given)
        set_parity(given[-1], tiles=8, agreement=7 / 8)
        return ""

    monkeypatch.setattr(own_model, "fine_tune", differing)
    with pytest.raises(GateError, match=r"own: not packed: 1 of 8 tiles are decided differently .*--no-gate"):
        make_own(wish, SMALL, trained.data_set, trained.manifest, lambda _: None)
    assert not wish.output.exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"outcome": "better"}, "it names 3 of 3 that both can, neu-fast 0: the new model is better."),
        ({"outcome": "worse"}, "neu-fast 0: neu-fast is better, keep it."),
        ({"outcome": "no_difference"}, "neu-fast 0: no difference is shown, keep neu-fast."),
        ({"outcome": "nothing_new"}, "neu-fast has learned from all of them, so they cannot be compared."),
        ({"outcome": "nothing_shared"}, "neu-fast knows none of their labels, so they cannot be compared."),
    ],
)
def test_the_sentence_says_what_to_do(changes: dict[str, Any], expected: str) -> None:
    """How many held-out pictures are decided rightly, and what that shows."""
    judged = {"dent": {"dent": 4, "unknown": 1}, "clean": {"clean": 3}}
    results = {"name": "house", "in_service": "neu-fast", "compared": {**COMPARED, **changes}, "judged": judged}
    sentence = OwnVerdict(open_language(ENGLISH, FOLDER, CATALOGUE)).sentence(results)

    assert sentence.startswith("house decides 7 of 8 held-out pictures rightly; ")
    assert sentence.endswith(expected)


def test_a_name_that_no_bundle_may_have_is_refused_first(tmp_path: Path) -> None:
    """Before the folder is looked at."""
    refused = CliRunner().invoke(commands.app, ["own", str(tmp_path / "none"), "--name", "My Bundle"])

    assert "--name: a name of a-z" in str(refused.exception)
