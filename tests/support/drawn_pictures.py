"""Pictures written to disk, and surfaces to take views of."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from inspector.drawn.tiles import draw_tile


def picture(path: Path, seed: int = 0, label: str = "scratches") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), draw_tile(label, seed, 100))
    return path


def surface(seed: int, side: int = 300) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(128, 40, (side, side)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5) * 3 - 256, 0, 255).astype(np.uint8)
