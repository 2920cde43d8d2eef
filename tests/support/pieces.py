"""A picture and a box to compose from."""

from __future__ import annotations

from training.data.dataset import LabelledBox, Picture


def picture(label: str = "inclusion", boxes: tuple[LabelledBox, ...] = ()) -> Picture:
    return Picture(f"{label}/{label}_1.jpg", label, "train", "", 200, 200, boxes, f"{label}_1")


BOX = LabelledBox("inclusion", 20, 20, 60, 90)
