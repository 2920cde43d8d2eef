"""A folder that has grown: what the model in service has learned from does not judge the next one."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from training.data.dataset import Picture
from training.data.learned import (
    LEARNED,
    LEARNED_BEFORE,
    known_groups,
    picture_id,
    read_before,
    read_learned,
    write_learned,
)
from training.data.manifest import Manifest
from training.errors import DataError
from training.judge.evaluate import refuse_learned
from training.network.course import carve_validation

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
    learned = frozenset(picture_id(p) for p in pictures if p.label == "b" or int(p.group[1:]) < 68)
    kept, held = carve_validation(pictures, known=known_groups(pictures, learned))
    groups = {label: {pictures[i].group for i in held if pictures[i].label == label} for label in LABELS}

    assert sorted(kept + held) == list(range(len(pictures)))
    assert len(groups["a"]) == 10
    assert all(int(group[1:]) >= 68 for group in groups["a"])
    assert len(groups["b"]) == 3


@pytest.mark.parametrize("views", [1, 4])
def test_a_single_new_surface_is_held_out(views: int) -> None:
    """However large it is, and wherever its name stands: known surfaces cannot be judged on."""
    old = pictures_of("a", 20) + pictures_of("b", 20)
    new = [replace(picture, group="a", path=f"a/new-{picture.path[2:]}") for picture in pictures_of("a", 1, views)]
    pictures = old + [replace(p, sha256=hashlib.sha256(p.path.encode()).hexdigest()) for p in new]
    _, held = carve_validation(pictures, known=known_groups(pictures, frozenset(picture_id(p) for p in old)))

    assert "a" in {pictures[i].group for i in held}


def test_another_view_of_a_learned_surface_is_no_news() -> None:
    """One view learned from makes its whole group known."""
    pictures = pictures_of("a", 3, views=2)

    assert known_groups(pictures, frozenset({picture_id(pictures[2])})) == {"a1"}


def test_lists_of_a_run_are_joined(tmp_path: Path) -> None:
    """What a run learned and what its start had learned are kept apart, and read together."""
    assert read_learned(tmp_path) == frozenset()
    write_learned(tmp_path / LEARNED, ["bb", "aa", "bb"])
    write_learned(tmp_path / LEARNED_BEFORE, ["cc"])

    assert (tmp_path / LEARNED).read_text() == "aa\nbb\n"
    assert read_learned(tmp_path) == {"aa", "bb", "cc"}
    assert read_before(tmp_path) == {"cc"}


@pytest.mark.parametrize(("copied", "refused"), [(False, True), (True, False)])
def test_learned_test_pictures_are_refused_unless_they_are_copies(copied: bool, refused: bool) -> None:
    """A test picture that training saw spoils the figures; one that is a copy of a training picture is left out."""
    held = [replace(p, split="validation") for p in pictures_of("a", 3)]
    train = [replace(held[0], path="copy.png", split="train")] if copied else []
    manifest = Manifest((*held, *train), ())
    with pytest.raises(DataError, match="learned from 1 of 3") if refused else nullcontext():
        refuse_learned(held, manifest, frozenset({picture_id(held[0])}), "a bundle")
