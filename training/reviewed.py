"""Which grounds of the public NEU-DET show a mark that nobody had boxed, judged without knowing any network.

Surface outside every box is not always clean, and no rule over pixels tells (`LOG.md`). So each picture of the official
test split that gives ground was judged twice, boxes covered, in shuffled order, with nothing else to go by: `clean`,
`unsure` or `marked`. The two reviewers, vision models and no mill's inspectors, did not know of each other. Where both
say `marked`, a tile that alarms is no proof of a false alarm: `evaluate` gives its clean figures over all grounds, and
beside them over the groups without such a picture: the same strips, and as many windows as over all.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from training.dataset import Picture
from training.learned import mark

REVIEW = Path(__file__).parent / "results" / "reviewed-grounds.csv"
MARKED = "marked"


def marked_groups(pictures: Iterable[Picture], review: Path = REVIEW) -> frozenset[str]:
    """Return the groups of `pictures` in which both reviewers saw a mark; pictures are known by their bytes.

    An installed package brings no reviews: then, and for pictures of one's own, there are none.
    """
    if not review.is_file():
        return frozenset()
    with review.open(newline="") as file:
        marked = {row["sha256"] for row in csv.DictReader(file) if row["first"] == row["second"] == MARKED}
    return frozenset(picture.group for picture in pictures if mark(picture) in marked)
