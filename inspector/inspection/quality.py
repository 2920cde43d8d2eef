"""Whether a frame shows anything that could be inspected."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from inspector.frame import Cause, Pixels


@dataclass(frozen=True, slots=True)
class QualityRules:
    """When a frame shows nothing that could be inspected.

    Attributes:
        blank_std: Grey levels; a smaller deviation is no picture of a surface.
        overexposed_share: Share of pixels >= 250 above which a frame is not inspected.
        underexposed_share: Share of pixels <= 5 above which a frame is not inspected.
    """

    blank_std: float = 0.5
    overexposed_share: float = 0.98
    underexposed_share: float = 0.98


def judge_quality(grey: Pixels, rules: QualityRules) -> Cause | None:
    """Return why a frame cannot be inspected, or None; judged on every fourth row and column of a large frame."""
    sample = grey[::4, ::4] if min(grey.shape) >= 64 else grey
    histogram = cv2.calcHist([np.ascontiguousarray(sample)], [0], None, [256], [0, 256]).ravel()
    if histogram[250:].sum() > rules.overexposed_share * sample.size:
        return Cause.OVEREXPOSED
    if histogram[:6].sum() > rules.underexposed_share * sample.size:
        return Cause.UNDEREXPOSED
    if float(cv2.meanStdDev(grey)[1][0, 0]) < rules.blank_std:
        return Cause.BLANK
    return None
