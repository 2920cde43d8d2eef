"""Pictures written to disk, and surfaces to take views of."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile


def picture(path: Path, seed: int = 0, label: str = "scratches") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), draw_tile(label, seed, 100))
    return path


def surface(seed: int, side: int = 300) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(128, 40, (side, side)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5) * 3 - 256, 0, 255).astype(np.uint8)


ANNOTATION = """<annotation><filename>{name}.jpg</filename>
<size><width>{side}</width><height>{side}</height><depth>1</depth></size>
<object><name>{label}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>
</object></annotation>
"""


def write_neu_layout(root: Path, *, per_label: int, held: int, side: int = 200) -> Path:
    """Write `per_label` generated pictures a label, the last `held` of them as validation, and return `root`."""
    for place, label in enumerate(KINDS):
        for number in range(1, per_label + 1):
            split = "validation" if number > per_label - held else "train"
            pictures, notes = root / split / "images" / label, root / split / "annotations"
            pictures.mkdir(parents=True, exist_ok=True)
            notes.mkdir(parents=True, exist_ok=True)
            name = f"{label}_{number}"
            cv2.imwrite(str(pictures / f"{name}.jpg"), draw_tile(label, 10_000 * place + number, side))
            box = {"x": 60, "y": 60, "right": side - 10, "bottom": side - 10}
            (notes / f"{name}.xml").write_text(ANNOTATION.format(name=name, side=side, label=label, **box))
    return root
