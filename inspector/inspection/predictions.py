"""A network's answer for tiles, and the protocol that gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The network's answer for N tiles.

    Attributes:
        logits: (N, C) float64, dequantized, before temperature and softmax.
        features: (N, D) float64, dequantized, or None where the model has no such output.
        cam: (N, h, w, C) int8 class activation maps in steps of their quantization: only places are compared. Or None.
    """

    logits: npt.NDArray[np.float64]
    features: npt.NDArray[np.float64] | None = None
    cam: npt.NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        if self.logits.ndim != 2:
            raise ValueError(f"logits must be (N, C): {self.logits.shape}")


class Classify(Protocol):
    """Scores tiles; a worker pool, one classifier, or a stub in tests."""

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        """Return one row per tile, in order. Tiles are (H, W) or (H, W, 3) uint8 of any size."""
        ...
