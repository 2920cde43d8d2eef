"""What `features` is, and when a tile is like nothing the network was shown.

`features` are means of inner feature maps, projected inside the network to at most 256 whitened directions: whitening
gives each direction the same share of the int8 range. The rule on top is a class-conditional Mahalanobis distance with
one shared covariance (Lee et al., 2018); its threshold is a quantile over held-out tiles of known labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from inspector.frame import Pixels
from training.feed import stacked_input
from training.network import float_input
from training.recipe import Recipe

MAX_FEATURES = 128
DEFAULT_TAPS = ("out_relu",)

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureHead:
    """What the output `features` computes: the means of the tapped maps, times `projection`, plus `offset`.

    Attributes:
        taps: Layer names of the backbone.
        projection: (D, K).
        offset: (K,).
    """

    taps: tuple[str, ...]
    projection: _Floats
    offset: _Floats


def pooled_maps(network: Any, taps: Sequence[str], tiles: Sequence[Pixels], recipe: Recipe) -> _Floats:
    """Return (N, D): the means of the tapped maps of the float network."""
    pooled = [keras.layers.GlobalAveragePooling2D()(network.get_layer(name).output) for name in taps]
    model = keras.Model(network.input, pooled)
    rows = []
    for start in range(0, len(tiles), 64):
        batch = float_input(stacked_input(tiles[start : start + 64], recipe.input_px), recipe)
        maps = model.predict_on_batch(batch)
        rows.append(np.concatenate(maps if isinstance(maps, list) else [maps], axis=1))
    return np.concatenate(rows).astype(np.float64)


def fit_feature_head(pooled: _Floats, taps: Sequence[str], size: int = MAX_FEATURES) -> FeatureHead:
    """Return the projection to at most `size` whitened directions of the training tiles."""
    pca = PCA(min(size, *pooled.shape), whiten=True, random_state=0).fit(pooled)
    scale = np.sqrt(np.maximum(pca.explained_variance_, 1e-6 * pca.explained_variance_[0]))
    projection = pca.components_.T / scale
    return FeatureHead(tuple(taps), projection, -pca.mean_ @ projection)


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


def fit_distance(features: _Floats, labels: Sequence[str]) -> Distance:
    """Return the distance fitted on int8 features of training tiles, covariance shrunk by Ledoit and Wolf."""
    names = sorted(set(labels))
    index = np.array([names.index(label) for label in labels])
    means = np.stack([features[index == i].mean(axis=0) for i in range(len(names))])
    precision = LedoitWolf(assume_centered=True).fit(features - means[index]).precision_
    values, vectors = np.linalg.eigh(precision)
    return Distance(means, vectors * np.sqrt(np.maximum(values, 0)))


def threshold_for(distances: _Floats, false_unknown_rate: float) -> float:
    """Return the distance that `false_unknown_rate` of known held-out tiles exceed."""
    return float(np.quantile(distances, 1 - false_unknown_rate, method="higher"))
