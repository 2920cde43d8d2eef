"""What a packed bundle decides of pictures that its network has not learned from, as the daemon decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from inspector.errors import PictureError
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.picture import classify_pixels
from inspector.inspection.tiling import TilingRules
from inspector.model.bundle import Bundle
from inspector.model.classifier import Classifier
from inspector.model.rules import decision_rules
from inspector.pages.language import N_
from training.data.dataset import DataSet, Picture, load_pixels
from training.judge.gallery import Exhibit, Gallery, Room

RECORD_FLOOR = 0.2


def judge_held(bundle: Bundle, data_set: DataSet, held: Sequence[Picture], gallery: Gallery) -> dict[str, Any]:
    """Return per label how many held-out pictures are decided so, unknown, clean, or otherwise; show the wrong ones."""
    rules = InspectRules(TilingRules(bundle.card.tile_px), decision_rules(bundle, {}, {}, RECORD_FLOOR))
    classify = Classifier(bundle)
    counts: dict[str, Counter[str]] = {}
    for picture, pixels in zip(held, load_pixels(data_set, held), strict=True):
        try:
            said = str(classify_pixels(pixels, picture.path, classify, rules)["label"])
        except PictureError as exc:
            said = exc.reason
        counts.setdefault(picture.label, Counter())[said] += 1
        if said != picture.label:
            values: dict[str, str | float] = {"name": picture.name, "label": picture.label, "said": said}
            caption = N_("%(name)s, %(label)s, decided %(said)s")
            gallery.show(
                Room(N_("Held-out pictures that are decided otherwise")), Exhibit(pixels, caption, 1.0, values=values)
            )
    return {label: dict(said) for label, said in sorted(counts.items())}
