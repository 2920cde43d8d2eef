"""Which pictures of a data set show the same surface, found block by block: never all pairs, never all in memory.

Pictures of one label and size are a series. It is cut into blocks of `Reach.block` pictures, each of which is compared
with the `Reach.far` before it, so a block is a task for any process or machine that can read the files, and the time
grows with the count of pictures. Near copies are found at any distance: two hashes that differ in at most four bits are
equal in one of five bands (multi-index hashing; Norouzi, Punjani and Fleet, 2012), and what shares a band is compared,
at most with `COMPARED` earlier ones.

What is not found: views under two labels or of two sizes, which are compared only byte by byte, and views of one
surface that are moved against each other and more than `Reach.far` places apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from inspector.frame import Pixels
from training.data.dataset import Picture, natural_key
from training.data.overlap import REACH, Looked, Reach, look, same

NEAR_COPY_BITS = 4
BANDS = NEAR_COPY_BITS + 1
COMPARED = 200
"""Places back, or earlier pictures of a band, among which a near copy is looked for."""
CACHED = 512
"""Pictures kept while near copies are compared, which are read by pairs."""

Read = Callable[[Sequence[Picture]], Iterable[Pixels]]
"""Reads pictures, grey, in order; it is sent to other processes."""
Mapped = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterator[Any]]
"""Calls a function with each tuple of arguments and yields what it returns, in order."""
_Hashes = npt.NDArray[np.uint64]
_Pairs = npt.NDArray[np.intp]


def one_by_one(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Call a function with each tuple of arguments, here and now."""
    return (function(*each) for each in arguments)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Index pairs of pictures that show a common piece of surface.

    Attributes:
        near: Copies, and views that lie beside each other: they are one group.
        far: Views and near copies farther apart.
    """

    near: list[tuple[int, int]]
    far: list[tuple[int, int]]


def find_pairs(
    pictures: Sequence[Picture],
    read: Read,
    mapped: Mapped = one_by_one,
    on_step: Callable[[int], None] = lambda done: None,
    reach: Reach = REACH,
) -> Pairs:
    """Return which pictures of a data set show a common piece of surface.

    Args:
        pictures: Whose labels, sizes and names say what is compared with what.
        read: Reads some of them.
        mapped: Runs the blocks, here or elsewhere.
        on_step: Called with the count of pictures done.
        reach: How far apart they are looked for, and in which blocks.
    """
    near, far, hashes = _exact_copies(pictures), set[tuple[int, int]](), dict[int, list[int]]()
    series = _series(pictures)
    blocks = [
        (number, start, members[max(0, start - reach.far) : start + reach.block])
        for number, members in enumerate(series)
        for start in range(0, len(members), reach.block)
    ]
    tasks = ((read, [pictures[i] for i in within], min(start, reach.far), reach) for _, start, within in blocks)
    done = 0
    for (number, _, within), looked in zip(blocks, mapped(_look, tasks), strict=True):
        near |= {(within[a], within[b]) for a, b in looked.near}
        far |= {(within[a], within[b]) for a, b in looked.far}
        hashes.setdefault(number, []).extend(looked.hashes)
        on_step(done := done + len(looked.hashes))

    @lru_cache(CACHED)
    def pixels_of(index: int) -> Pixels:
        return next(iter(read([pictures[index]])))

    for number, members in enumerate(series):
        for places in near_copies(np.array(hashes[number], np.uint64)):
            first, second = (members[int(place)] for place in places)
            if same(pixels_of(first), pixels_of(second)):
                (near if places[1] - places[0] <= COMPARED else far).add((first, second))
    return Pairs(sorted(near), sorted(far - near))


def _look(read: Read, pictures: Sequence[Picture], halo: int, reach: Reach) -> Looked:
    return look(read(pictures), halo, reach)


def _exact_copies(pictures: Sequence[Picture]) -> set[tuple[int, int]]:
    first: dict[str, int] = {}
    return {
        (original, index)
        for index, picture in enumerate(pictures)
        if (original := first.setdefault(picture.sha256, index)) != index
    }


def near_copies(hashes: _Hashes) -> _Pairs:
    """Return the (earlier, later) places of perceptual hashes that differ in at most `NEAR_COPY_BITS` bits.

    Args:
        hashes: (N,) in the order of the series.
    """
    count = len(hashes)
    found = [
        np.stack([close, close + back], axis=1)
        for back in range(1, min(COMPARED, count - 1) + 1)
        if len(close := np.flatnonzero(_close(hashes[:-back], hashes[back:])))
    ]
    for band in np.array_split(np.arange(64, dtype=np.uint64), BANDS):
        mask = np.uint64(sum(1 << int(bit) for bit in band))
        order = np.argsort(hashes & mask, kind="stable")
        sorted_hashes = hashes[order]
        keys = sorted_hashes & mask
        for back in range(1, min(COMPARED, count - 1) + 1):
            equal = np.flatnonzero(keys[:-back] == keys[back:])
            if not len(equal):
                break  # a bucket with a pair so far apart has one that is nearer
            equal = equal[_close(sorted_hashes[equal], sorted_hashes[equal + back])]
            earlier, later = order[equal], order[equal + back]
            apart = later - earlier > COMPARED
            found.append(np.stack([earlier[apart], later[apart]], axis=1))
    return np.unique(np.concatenate(found), axis=0) if found else np.empty((0, 2), np.intp)


def _close(first: _Hashes, second: _Hashes) -> npt.NDArray[np.bool_]:
    differing = np.unpackbits((first ^ second)[:, None].view(np.uint8), axis=1)
    return np.asarray(differing.sum(axis=1) <= NEAR_COPY_BITS)


def _series(pictures: Sequence[Picture]) -> list[list[int]]:
    """Return the pictures of each label and size in natural order."""
    series: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for index in sorted(range(len(pictures)), key=lambda index: _place(pictures[index])):
        picture = pictures[index]
        series[picture.label, picture.height, picture.width].append(index)
    return list(series.values())


def _place(picture: Picture) -> tuple[list[tuple[int, str]], ...]:
    return natural_key(picture.folder), natural_key(picture.name), natural_key(picture.path)


def group_names(pictures: Sequence[Picture], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Return one group name a picture: the connected sets of overlapping views, named after their first picture.

    Where two pictures have one name, in two folders, a group is named after the first one's path.
    """
    count = len(pictures)
    rows, columns = ([], []) if not pairs else zip(*pairs, strict=True)
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    uses = Counter(picture.name for picture in pictures)
    first: dict[int, str] = {}
    for index, number in enumerate(component):
        picture = pictures[index]
        first.setdefault(int(number), picture.name if uses[picture.name] == 1 else picture.path)
    return [first[int(number)] for number in component]
