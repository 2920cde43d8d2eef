"""The operating point: temperature and thresholds, chosen on validation tiles that training never saw.

Temperature: the one that makes validation scores most likely (Guo et al., ICML 2017). Threshold of a label: a quarter
of the way (`MARGIN`), in log odds, from the score that at most `MAX_FALSE_ALARM_RATE` of the clean validation tiles
exceed to the one that all but `MAX_MISS_RATE` of the label's own validation tiles reach. A threshold right above the
highest clean score of validation would be exceeded by clean tiles of the next strip. If clean tiles score higher than
that, no threshold separates the two, and what is called clean mostly shows an unboxed mark: the clean score is then
no bound, and the threshold keeps its distance from the label's own tiles instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from scipy.special import expit, logit  # type: ignore[import-untyped]
from sklearn.metrics import log_loss

from inspector.inspection.decision import to_scores
from inspector.labels import CLEAN

MIN_THRESHOLD = 0.5
MAX_THRESHOLD = 0.99
MAX_FALSE_ALARM_RATE = 0.001
MAX_MISS_RATE = 0.01
MARGIN = 0.25
"""Half of the way was right for one look at a tile; the mean of four keeps clean tiles low by itself (`LOG.md`)."""


_Floats = npt.NDArray[np.float64]


def choose_temperature(logits: _Floats, wanted: Sequence[str], labels: Sequence[str]) -> float:
    """Return the temperature with the smallest log loss, between 0.25 and 4."""
    target = [labels.index(label) for label in wanted]

    def loss(log_temperature: float) -> float:
        scores = to_scores(logits, float(np.exp(log_temperature)))
        return float(log_loss(target, scores, labels=range(len(labels))))

    found = minimize_scalar(loss, bounds=(np.log(0.25), np.log(4.0)), method="bounded")
    return round(float(np.exp(found.x)), 4)


def choose_thresholds(scores: _Floats, wanted: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """Return one threshold a defect label."""
    truth = np.array(wanted)
    top = scores.argmax(axis=1)
    thresholds = {}
    for index, label in enumerate(labels):
        if label == CLEAN:
            continue
        false = np.sort(scores[(truth == CLEAN) & (top == index), index])[::-1]
        allowed = int(MAX_FALSE_ALARM_RATE * (truth == CLEAN).sum())
        needed = float(false[allowed]) if len(false) > allowed else 0.0
        own = scores[(truth == label) & (top == index), index]
        kept = float(np.quantile(own, MAX_MISS_RATE)) if len(own) else needed
        bounds = [needed if needed < kept or not len(own) else 0.0, kept]
        low, high = np.clip(bounds, MIN_THRESHOLD, MAX_THRESHOLD)
        thresholds[label] = round(float(expit(logit(low) + MARGIN * (logit(high) - logit(low)))), 4)
    return thresholds
