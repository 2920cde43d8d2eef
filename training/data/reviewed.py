"""Which surfaces that count as clean still show a mark, judged without knowing any network.

Surface outside every box is not always clean, and no rule over pixels shows that (`LOG.md`). So each picture that gives
ground, 244 of the training split and 49 of the test split, was judged twice, boxes covered, in shuffled order, without
other information: `clean`, `unsure` or `marked`. The reviewer was a vision model, not a mill's inspector, and did not
know the other review. Where both say `marked`, a tile that alarms does not prove a false alarm: `evaluate` reports its
clean figures over all grounds, and also over the groups without such a picture: the same strips, and the same number of
windows as over all. A recipe with `ground = "reviewed"` learns from unmarked ground only.

All tiles of the Severstal sample's defect-free pictures, and 180 of the 2,758 of magnetic tile, drawn at random, were
judged in the same way, each as recorded and with stretched contrast; "no defect" means there none of the set's own
classes.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from training.data.dataset import Picture
from training.data.learned import picture_id

REVIEW = Path(__file__).parents[1] / "results" / "reviewed-grounds.csv"
FOREIGN_REVIEW = REVIEW.with_name("reviewed-foreign.csv")
MARKED = "marked"


def read_marked_pictures(review: Path = REVIEW) -> frozenset[str]:
    """Return the ids (`learned.picture_id`) of the pictures in which both reviews saw a mark."""
    with review.open(newline="") as file:
        return frozenset(row["picture_id"] for row in csv.DictReader(file) if row["first"] == row["second"] == MARKED)


def find_marked_groups(pictures: Iterable[Picture], review: Path = REVIEW) -> frozenset[str]:
    """Return the groups of `pictures` in which both reviews saw a mark: none for pictures that are not NEU-DET's."""
    marked = read_marked_pictures(review)
    return frozenset(picture.group for picture in pictures if picture_id(picture) in marked)


def find_unmarked_tiles(name: str, files: Sequence[str], review: Path = FOREIGN_REVIEW) -> list[int]:
    """Return which tiles of a foreign set were judged and are not called marked by both reviews.

    Args:
        name: Of the set, such as `severstal/no_defect`.
        files: The file of each tile, the tiles of a file in their order.
        review: Names a tile by its file and its number among the file's tiles, from 0 on.
    """
    with review.open(newline="") as file:
        unmarked = {
            (row["file"], int(row["tile"]))
            for row in csv.DictReader(file)
            if row["set"] == name and not row["first"] == row["second"] == MARKED
        }
    numbers: Counter[str] = Counter()
    found = []
    for place, its_file in enumerate(files):
        if (its_file, numbers[its_file]) in unmarked:
            found.append(place)
        numbers[its_file] += 1
    return found
