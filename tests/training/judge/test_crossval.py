"""`training.crossval` and what is held out of a run: whole folds, one seed's interval, no surface on both sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.data.dataset import Picture
from training.judge.crossval import read_fold, summarize
from training.network.course import carve_validation


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


@pytest.mark.parametrize(
    ("sizes", "held"),
    [
        pytest.param({"a": [1] * 100, "b": [1] * 2}, {"a": 12, "b": 1}, id="a rare label"),
        pytest.param({"a": [20, 1, 1, 1, 1], "b": [1] * 40}, {"a": 3, "b": 5}, id="one large group"),
        pytest.param({"a": [5, 5], "b": [3, 4]}, {"a": 5, "b": 3}, id="two groups each"),
    ],
)
def test_a_rare_label_does_not_hold_out_the_others(sizes: dict[str, list[int]], held: dict[str, int]) -> None:
    """An eighth of each label as near as groups allow, at least one, never the largest."""
    pictures = [
        Picture(f"{label}/{group}-{i}.png", label, "", "", 200, 200, (), f"{label}{group}")
        for label, groups in sizes.items() for group, size in enumerate(groups) for i in range(size)
    ]  # fmt: skip
    kept, out = carve_validation(pictures)

    assert sorted(kept + out) == list(range(len(pictures)))
    assert not {pictures[i].group for i in kept} & {pictures[i].group for i in out}
    assert {label: sum(pictures[i].label == label for i in out) for label in sizes} == held
