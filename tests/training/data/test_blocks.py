"""`training.data.blocks`: what is found in blocks is what is found at once, and near copies at any distance."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import surface

from training.data.blocks import COMPARED, NEAR_COPY_BITS, find_pairs, near_copies
from training.data.dataset import DataSet, Picture
from training.data.overlap import Reach

SIDE = 48


def series(count: int) -> list[Picture]:
    return [Picture(f"dent/{number}.png", "dent", "", f"sha of {number}", SIDE, SIDE) for number in range(count)]


class Surfaces:
    """Pictures of which some show what an earlier one shows, moved by (dy, dx)."""

    def __init__(self, again: dict[int, tuple[int, int, int]]) -> None:
        self.again = again

    def __call__(self, pictures: Sequence[Picture]) -> Iterator[np.ndarray]:
        for picture in pictures:
            first, dy, dx = self.again.get(int(picture.name), (int(picture.name), 0, 0))
            yield surface(first, SIDE + 8)[dy : dy + SIDE, dx : dx + SIDE]


AGAIN = {8: (7, 3, 0), 12: (3, 2, 0), 15: (14, 0, 4), 27: (2, 1, 1), 31: (17, 2, 0), 39: (38, 1, 0)}
NEAR, FAR = [(7, 8), (14, 15), (38, 39)], [(3, 12), (17, 31)]


@pytest.mark.parametrize("block", [1000, 10, 7, 1])
def test_blocks_find_what_is_found_at_once(block: int) -> None:
    """Views beside each other, views far apart, none beyond the reach, whichever block a pair is cut by."""
    found = find_pairs(series(40), Surfaces(AGAIN), reach=Reach(near=3, far=15, block=block))

    assert (found.near, found.far) == (NEAR, FAR)


def test_a_block_holds_a_bounded_count_of_pictures() -> None:
    """No task gets more than its block and the reach before it, and each picture is the own one of one task."""
    tasks: list[int] = []

    def mapped(function: object, arguments: Iterable[tuple[object, ...]]) -> Iterator[object]:
        for each in arguments:
            tasks.append(len(each[1]))  # type: ignore[arg-type]
            yield function(*each)  # type: ignore[operator]

    done: list[int] = []
    find_pairs(series(23), Surfaces({}), mapped, done.append, Reach(near=2, far=6, block=5))

    assert tasks == [5, 10, 11, 11, 9]
    assert done == [5, 10, 15, 20, 23]


def test_a_copy_is_found_at_any_distance() -> None:
    """Beyond every reach, and joins no group: who was held out with whom stays as it was."""
    count = COMPARED + 30
    found = find_pairs(series(count), Surfaces({count - 1: (4, 0, 0)}), reach=Reach(near=2, far=5, block=50))

    assert (found.near, found.far) == ([], [(4, count - 1)])


@pytest.mark.parametrize("seed", range(3))
def test_bands_find_every_pair_of_close_hashes(seed: int) -> None:
    """As comparing all pairs does: up to four bits, in whichever bands they lie; five bits are too many."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**63, 700, dtype=np.uint64)
    for place in range(0, 700, 9):
        hashes[place] = hashes[place // 2]
        for bit in rng.choice(64, int(rng.integers(0, NEAR_COPY_BITS + 2)), replace=False):
            hashes[place] ^= np.uint64(1) << np.uint64(bit)
    all_pairs = {
        (a, b) for a, b in combinations(range(700), 2) if int(hashes[a] ^ hashes[b]).bit_count() <= NEAR_COPY_BITS
    }

    assert {(int(a), int(b)) for a, b in near_copies(hashes)} == all_pairs
    assert any(b - a > COMPARED for a, b in all_pairs)


def test_a_folder_of_one_plain_picture_costs_no_more_than_its_length() -> None:
    """A million equal hashes would be 5 x 10^11 pairs: each is compared with a bounded count of earlier ones."""
    pairs = near_copies(np.zeros(1200, np.uint64))

    assert len(pairs) <= 2 * COMPARED * 1200
    assert {int(b) for _, b in pairs} == set(range(1, 1200))


def test_nothing_is_no_pair() -> None:
    assert near_copies(np.empty(0, np.uint64)).tolist() == []
    assert near_copies(np.zeros(1, np.uint64)).tolist() == []


def test_a_data_set_travels_as_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what pickling does: another process has another working folder, and opens a zip anew."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    with zipfile.ZipFile("own.zip", "w") as packed:
        packed.writestr("dent/1.png", b"pixels")
    there = [copy(DataSet(Path(name))) for name in ("own", "own.zip")]

    assert [each.root for each in there] == [tmp_path / "own", tmp_path / "own.zip"]
    assert there[1].read("dent/1.png") == b"pixels"
