"""A folder that has grown: what the model in service has learned from does not judge the next one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training import own
from training.dataset import Picture
from training.learned import LEARNED, LEARNED_BEFORE, known_groups, mark, read_before, read_learned, write_learned
from training.own import Start, compare
from training.recipe import load_recipe
from training.tiles import TileSet
from training.train import Course, carve_validation

LABELS = ("a", "b")


def pictures_of(label: str, count: int, views: int = 1) -> list[Picture]:
    """`count` surfaces of a label, `views` pictures each."""
    return [
        Picture(f"{label}/{n}-{v}.png", label, "", hashlib.sha256(f"{label}{n}{v}".encode()).hexdigest(), 200, 200, (),
                f"{label}{n}")
        for n in range(count) for v in range(views)
    ]  # fmt: skip


def test_new_pictures_are_held_out_first() -> None:
    """Of a folder of which most was learned from, the rest is judged; a label without any news still has its one."""
    pictures = pictures_of("a", 80) + pictures_of("b", 24)
    learned = frozenset(mark(p) for p in pictures if p.label == "b" or int(p.group[1:]) < 68)
    kept, held = carve_validation(pictures, learned=learned)
    groups = {label: {pictures[i].group for i in held if pictures[i].label == label} for label in LABELS}

    assert sorted(kept + held) == list(range(len(pictures)))
    assert len(groups["a"]) == 10
    assert all(int(group[1:]) >= 68 for group in groups["a"])
    assert len(groups["b"]) == 3


def test_another_view_of_a_learned_surface_is_no_news() -> None:
    """One view learned from makes its whole group known."""
    pictures = pictures_of("a", 3, views=2)

    assert known_groups(pictures, frozenset({mark(pictures[2])})) == {"a1"}


def test_lists_of_a_run_are_joined(tmp_path: Path) -> None:
    """What a run learned and what its start had learned are kept apart, and read together."""
    assert read_learned(tmp_path) == frozenset()
    write_learned(tmp_path / LEARNED, ["bb", "aa", "bb"])
    write_learned(tmp_path / LEARNED_BEFORE, ["cc"])

    assert (tmp_path / LEARNED).read_text() == "aa\nbb\n"
    assert read_learned(tmp_path) == {"aa", "bb", "cc"}
    assert read_before(tmp_path) == {"cc"}


@pytest.mark.parametrize(
    ("known", "n", "left_out", "told"),
    [
        pytest.param(set(), 20, 0, "the new model is better", id="all are news"),
        pytest.param({f"g{i}" for i in range(16)}, 4, 16, "no difference is shown", id="four are news"),
        pytest.param({f"g{i}" for i in range(20)}, 0, 20, "no held-out picture is new", id="none is"),
    ],
)
def test_learned_pictures_do_not_vote(
    known: set[str], n: int, left_out: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new network names every picture, the one in service none: only news count."""
    tiles = [np.zeros((200, 200), np.uint8)] * 20
    held = TileSet.of(tiles, ["a"] * 20, "picture", [f"g{i}" for i in range(20)])
    answers = {b"old": np.tile([0.0, 1.0], (20, 1)), b"new": np.tile([1.0, 0.0], (20, 1))}
    monkeypatch.setattr(own, "Int8Network", lambda raw: lambda pixels: {"logits": answers[raw]})
    network: Any = own.Int8Network(b"new")
    start = Start(load_recipe("six-way"), LABELS, None, b"old", [], (), frozenset())
    row = compare(start, network, Course(LABELS, held.pick([]), held, frozenset()), frozenset(known))

    assert (row["new"]["k"], row["new"]["n"], row["in_service"]["k"], row["left_out"]) == (n, n, 0, left_out)
    assert told in row["verdict"]
    assert ("learned from their surfaces" in row["verdict"]) == bool(left_out)
