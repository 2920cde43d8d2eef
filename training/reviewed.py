"""Which grounds of the public NEU-DET show a mark that nobody had boxed, judged without knowing any network.

Surface outside every box is not always clean, and no rule over pixels tells (`LOG.md`). So each picture that gives
ground, 244 of the training split and 49 of the test split, was judged twice, boxes covered, in shuffled order, with
nothing else to go by: `clean`, `unsure` or `marked`. The reviewer was a vision model, no mill's inspector, and each
time knew nothing of the other review. Where both say `marked`, a tile that alarms is no proof of a false alarm:
`evaluate` gives its clean figures over all grounds, and beside them over the groups without such a picture: the same
strips, and as many windows as over all. A recipe with `ground = "reviewed"` learns from unmarked ground alone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from training.dataset import Picture
from training.learned import picture_id

REVIEW = Path(__file__).parent / "results" / "reviewed-grounds.csv"
MARKED = "marked"


def read_marked_pictures(review: Path = REVIEW) -> frozenset[str]:
    """Return the ids (`learned.picture_id`) of the pictures in which both reviews saw a mark."""
    with review.open(newline="") as file:
        return frozenset(row["picture_id"] for row in csv.DictReader(file) if row["first"] == row["second"] == MARKED)


def find_marked_groups(pictures: Iterable[Picture], review: Path = REVIEW) -> frozenset[str]:
    """Return the groups of `pictures` in which both reviews saw a mark: none for pictures that are not NEU-DET's."""
    marked = read_marked_pictures(review)
    return frozenset(picture.group for picture in pictures if picture_id(picture) in marked)
