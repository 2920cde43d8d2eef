"""Grounds that show marks nobody boxed: who is left out, and from which figures."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from training.dataset import Picture
from training.learned import mark
from training.reviewed import REVIEW, marked_groups

FIRST = Picture("a.jpg", "inclusion", "validation", "0123456789abcdef" + 48 * "0", 200, 200, group="a")
SECOND = replace(FIRST, path="b.jpg", sha256="fedcba9876543210" + 48 * "0", group="b")


@pytest.mark.parametrize(
    ("first", "second", "groups"),
    [
        pytest.param("marked", "marked", {"a"}, id="both saw a mark"),
        pytest.param("marked", "unsure", set(), id="one was unsure"),
        pytest.param("clean", "clean", set(), id="neither did"),
    ],
)
def test_a_group_is_left_out_where_both_saw_a_mark(first: str, second: str, groups: set[str], tmp_path: Path) -> None:
    review = tmp_path / "review.csv"
    review.write_text(f"sha256,picture,first,second\n{mark(FIRST)},a,{first},{second}\n")

    assert marked_groups([FIRST, SECOND], review) == groups


def test_without_a_review_nothing_is_left_out(tmp_path: Path) -> None:
    assert marked_groups([FIRST], tmp_path / "gone.csv") == frozenset()


def test_the_committed_review_holds_each_ground_once_with_two_verdicts() -> None:
    with REVIEW.open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert len({row["sha256"] for row in rows}) == len(rows) == 293
    assert {row[side] for row in rows for side in ("first", "second")} == {"clean", "unsure", "marked"}
    assert Counter((row["first"], row["second"]) for row in rows)["marked", "marked"] == 150
    assert all(bool(row["seen_by_first"]) == (row["first"] != "clean") for row in rows)
