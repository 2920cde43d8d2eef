"""`training.crossval` and what is held out of a run: whole folds, one seed's interval, no surface on both sides."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fakes import killed
from small_run import SMALL, Trained

from training.data.folds import group_folds
from training.errors import FoldError
from training.judge import crossval
from training.judge.crossval import cross_validate, fold_digest, read_fold, summarize
from training.tiles.auxiliary import NOTHING


def test_a_fold_counts_only_whole_and_of_its_configuration(tmp_path: Path) -> None:
    """A half-written fold, or one of another configuration, is run again."""
    (tmp_path / "whole.json").write_text(json.dumps({"digest": "a", "n": 1}))
    (tmp_path / "half.json").write_text('{"digest": "a", "n"')

    assert read_fold(tmp_path / "whole.json", "a") == {"digest": "a", "n": 1}
    assert read_fold(tmp_path / "whole.json", "b") is None
    assert read_fold(tmp_path / "half.json", "a") is None
    assert read_fold(tmp_path / "absent.json", "a") is None


def test_folds_are_pooled_into_one_row() -> None:
    """Mean, worst fold, worst class and disagreements come out as counted by hand."""
    fold = {"labels": ["a", "b"], "truth": ["a", "b"], "float": ["a", "b"], "pictures": ["1", "2"], "n": 2, "seed": 1}
    rows = [
        {**fold, "int8": ["a", "b"], "float_correct": 2, "int8_correct": 2, "disagreements": 0},
        {**fold, "int8": ["a", "a"], "float_correct": 2, "int8_correct": 1, "disagreements": 1},
    ]
    row = summarize(rows, 2, 1)

    assert row["int8"]["mean"] == 0.75
    assert row["int8"]["worst_fold"] == 0.5
    assert (row["int8"]["worst_class"], row["int8"]["worst_recall"]) == ("b", 0.5)
    assert (row["disagreements"], row["net"]) == (1, -1)
    assert row["errors"] == [{"picture": "2", "label": "b", "top": "a", "seed": 1}]
    assert "int8_four_looks" not in row


def test_four_looks_have_a_row_when_every_fold_has_them() -> None:
    """Folds of before have one look a picture."""
    fold = {"labels": ["a", "b"], "truth": ["a", "b"], "float": ["a", "b"], "int8": ["a", "a"], "pictures": ["1", "2"],
            "n": 2, "seed": 1, "float_correct": 2, "int8_correct": 1, "disagreements": 1}  # fmt: skip
    looked = {**fold, "int8_four_looks": ["a", "b"], "int8_four_looks_correct": 2}

    assert summarize([looked, looked], 2, 1)["int8_four_looks"]["worst_fold"] == 1.0
    assert "int8_four_looks" not in summarize([looked, fold], 2, 1)


def test_another_seed_scores_no_more_pictures() -> None:
    """The interval is one seed's, the widest; pictures that were scored three times are not three pictures."""

    def row(seed: int, correct: int) -> dict[str, Any]:
        top = ["a"] * correct + ["b"] * (100 - correct)
        names, truth = [str(i) for i in range(100)], ["a"] * 99 + ["b"]
        right = sum(one == other for one, other in zip(top, truth, strict=True))
        return {"n": 100, "labels": ["a", "b"], "float_correct": right, "int8_correct": right, "disagreements": 0,
                "pictures": names, "truth": truth, "float": top, "int8": top, "seed": seed}  # fmt: skip

    one, three = summarize([row(1, 90)], 1, 1), summarize([row(1, 90), row(2, 95), row(3, 99)], 1, 3)

    assert three["int8"]["wilson95"][0] == one["int8"]["wilson95"][0]
    assert three["int8"]["wilson95"][1] > one["int8"]["wilson95"][1]
    assert (three["int8"]["k"], three["int8"]["n"]) == (91 + 96 + 100, 300)


def test_a_fold_is_trained_scored_and_kept(
    trained: Trained, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fold for real: every held-out picture scored, read and not run again the next time.

    In this process, where networks compute without graphs; that a fold has one of its own is the next test's.
    """
    monkeypatch.chdir(tmp_path)  # runs go below the working directory
    options: dict[str, Any] = {"folds": 3, "seeds": 1, "output": tmp_path, "only": (1,)}
    with monkeypatch.context() as here:
        here.setattr(crossval, "_in_its_own_process", crossval.run_fold)
        found = cross_validate(SMALL, trained.data_set, trained.manifest, weights, **options)
    row = json.loads((tmp_path / "crossval" / "small" / "seed-1-fold-1.json").read_text())
    held = [trained.manifest.pictures[i].name for i in list(group_folds(trained.manifest.pictures, 1, 3))[1][1]]
    monkeypatch.setattr(crossval, "run_fold", killed)

    assert row["pictures"] == held
    assert row["n"] == found["int8"]["n"] == len(held) == len(row["int8"])
    for kind in ("int8", "int8_four_looks"):
        assert row[f"{kind}_correct"] == sum(a == b for a, b in zip(row[kind], row["truth"], strict=True))
    assert cross_validate(SMALL, trained.data_set, trained.manifest, weights, **options)["int8"] == found["int8"]
    with pytest.raises(FoldError, match="finished folds are kept"):
        cross_validate(SMALL, trained.data_set, trained.manifest, weights, **{**options, "only": (0, 1)})
    assert [path.name for path in (tmp_path / "crossval" / "small").iterdir()] == ["seed-1-fold-1.json"]


def test_a_fold_has_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it returns comes from another process."""
    monkeypatch.setattr(crossval, "run_fold", os.getpid)

    assert crossval._in_its_own_process() != os.getpid()  # type: ignore[comparison-overlap]


def test_a_process_that_takes_one_fold_leaves_the_others_alone(trained: Trained, tmp_path: Path) -> None:
    """Folds that stand are summed up, those that are missing and somebody else's are neither run nor counted."""
    manifest = trained.manifest
    held = list(group_folds(manifest.pictures, 1, 3))[2][1]
    right = ["a"] * (len(held) - 1)
    tops = {"truth": [*right, "b"], "float": [*right, "b"], "int8": [*right, "a"]}
    row = {"labels": ["a", "b"], **tops, "pictures": [str(place) for place in held], "n": len(held), "seed": 1}
    row |= {"float_correct": len(held), "int8_correct": len(right), "disagreements": 1}
    row["digest"] = fold_digest(SMALL, manifest, NOTHING, 3, 1, 2)
    path = tmp_path / "crossval" / "small" / "seed-1-fold-2.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(row))
    found = cross_validate(SMALL, trained.data_set, manifest, None, folds=3, seeds=1, output=tmp_path, only=(2,))

    assert found["folds_done"] == 1
    assert found["int8"]["k"] == len(right)
    assert found["apart"]["int8"] == {"k": [len(right)], "n": [len(held)], "wilson95": found["int8"]["wilson95"]}
    assert json.loads((tmp_path / "crossval.json").read_text())["small"]["folds"] == 3
    assert [each.name for each in path.parent.iterdir()] == ["seed-1-fold-2.json"]

    fuller = {"small": {**found, "folds_done": 3}}
    (tmp_path / "crossval.json").write_text(json.dumps(fuller))
    cross_validate(SMALL, trained.data_set, manifest, None, folds=3, seeds=1, output=tmp_path, only=(2,))
    assert json.loads((tmp_path / "crossval.json").read_text())["small"]["folds_done"] == 3
