"""A network's answer for tiles, and the protocol that gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        maps: (N, h, w, D) int8 by role, in steps of their quantization: what the network sees at each place, which a
            site's reference is compared with. Empty where the model has no such outputs or nobody asked for them.
    """

    logits: npt.NDArray[np.float64]
    features: npt.NDArray[np.float64] | None = None
    cam: npt.NDArray[np.int8] | None = None
    maps: Mapping[str, npt.NDArray[np.int8]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.logits.ndim != 2:
            raise ValueError(f"logits must be (N, C): {self.logits.shape}")
        for role, values in self.maps.items():
            if values.ndim != 4 or len(values) != len(self.logits):
                raise ValueError(f"{role} must be ({len(self.logits)}, h, w, D): {values.shape}")

    def pick(self, tiles: Sequence[int]) -> Predictions:
        """Return the answer for some of the tiles, in the order in which they are named."""
        chosen = list(tiles)
        return Predictions(
            self.logits[chosen],
            None if self.features is None else self.features[chosen],
            None if self.cam is None else self.cam[chosen],
            {role: values[chosen] for role, values in self.maps.items()},
        )


class Classify(Protocol):
    """Scores tiles; a worker pool, one classifier, or a stub in tests."""

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        """Return one row per tile, in order. Tiles are (H, W) or (H, W, 3) uint8 of any size."""
        ...
