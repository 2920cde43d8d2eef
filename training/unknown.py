"""What `features` is, and when a tile is like nothing the network was shown.

`features` are means of the last feature map, the channels that vary most, each cut off at `CEILING`, and behind them
the logits, cut to 0 and `1 / LOGIT_GAIN`. Strong channels say which defect it is, faint ones whether it is one at all
(cut off as in Sun et al., "ReAct", NeurIPS 2021); small logits throughout say that the network is unsure, as it has
learned to be of outliers (see `auxiliary`).
The rule on top is a class-conditional Mahalanobis distance with one shared covariance (Lee et al., 2018), fitted on
each of the two parts by itself and joined; its threshold is a quantile over held-out tiles of known labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from scipy.linalg import block_diag  # type: ignore[import-untyped]
from sklearn.covariance import LedoitWolf

from inspector.frame import Pixels
from training.recipe import Recipe
from training.train import float_logits

MAX_FEATURES = 256
CEILING = 1.0
"""Where means of activations (0 to 6) are cut off; 0.3 to 1 serve alike, uncut ones much worse (`LOG.md`)."""

LOGIT_GAIN = 0.2
LOGIT_WEIGHT = 2.0
"""How much more a distance among the logits counts, both parts in units of what 99 % of known tiles reach."""
UNIT_QUANTILE = 0.99

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureHead:
    """What the output `features` computes: chosen channels of the means of the last map, cut off, and the logits.

    Attributes:
        channels: (K,) places among the D means.
        size: D.
        ceiling: Of the means, in units of the map.
    """

    channels: npt.NDArray[np.intp]
    size: int
    ceiling: float = CEILING


def pooled_map(network: Any, tiles: Sequence[Pixels], recipe: Recipe) -> _Floats:
    """Return (N, D): the means of the last feature map of the float network."""
    return float_logits(keras.Model(network.input, network.get_layer("pool").output), tiles, recipe)


def fit_feature_head(pooled: _Floats, size: int) -> FeatureHead:
    """Return the at most `size` channels that vary most over the training tiles, once cut off."""
    spread = np.minimum(pooled, CEILING).std(axis=0)
    return FeatureHead(np.sort(np.argsort(-spread, kind="stable")[:size]), pooled.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Distance:
    """Class means and the whitening of the covariance they share; see `inspector.bundle.UnknownRule`."""

    means: _Floats
    whitening: _Floats

    def __call__(self, features: _Floats) -> _Floats:
        """Return each row's distance to the nearest class."""
        rows = features @ self.whitening
        means = self.means @ self.whitening
        return np.asarray(np.sqrt(((rows[:, None, :] - means[None]) ** 2).sum(axis=2)).min(axis=1), np.float64)


def fit_distance(features: _Floats, labels: Sequence[str], held: _Floats, logits: int) -> Distance:
    """Return the distance fitted on int8 features of training tiles.

    Args:
        features: (N, K + C) of training tiles.
        labels: N.
        held: (M, K + C) of held-out tiles of known labels: they give both parts their unit.
        logits: C, how many of the columns are logits, the last ones.
    """
    parts = []
    for columns, weight in ((slice(None, -logits), 1.0), (slice(-logits, None), LOGIT_WEIGHT)):
        part = fit_mahalanobis(features[:, columns], labels)
        unit = weight / max(float(np.quantile(part(held[:, columns]), UNIT_QUANTILE)), 1e-9)
        parts.append(Distance(part.means, part.whitening * unit))
    return Distance(np.hstack([part.means for part in parts]), block_diag(*[part.whitening for part in parts]))


def fit_mahalanobis(features: _Floats, labels: Sequence[str]) -> Distance:
    """Return the distance to the nearest label's mean, covariance shared and shrunk by Ledoit and Wolf."""
    names = sorted(set(labels))
    index = np.array([names.index(label) for label in labels])
    means = np.stack([features[index == i].mean(axis=0) for i in range(len(names))])
    precision = LedoitWolf(assume_centered=True).fit(features - means[index]).precision_
    values, vectors = np.linalg.eigh(precision)
    return Distance(means, vectors * np.sqrt(np.maximum(values, 0)))


def threshold_for(distances: _Floats, false_unknown_rate: float) -> float:
    """Return the distance that `false_unknown_rate` of known held-out tiles exceed."""
    return float(np.quantile(distances, 1 - false_unknown_rate, method="higher"))
