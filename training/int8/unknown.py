"""What `features` is, and when a tile is like nothing the network was shown.

`features` describes a tile in two ways. *Texture*: for chosen channels of two late maps, how much of them lies above
zero and how much below, on average over the tile; the daemon brings it to length 1, so that contrast and exposure
matter little. *Certainty*: the logits, cut to 0 and `1 / LOGIT_GAIN`; if all are small, the network is unsure, as it
has learned to be of outliers (see `auxiliary`). Only the former catches a confident network on strange steel, the
latter a doubtful one.
In each the distance to the nearest known place is a Mahalanobis distance with one shared covariance (Lee et al., 2018);
a label has several such places, found by k-means. Both are measured in what known held-out tiles reach, the larger one
counts, and its threshold is a quantile over held-out tiles of known labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf

from inspector.frame import Pixels
from inspector.inspection.distance import FeatureDistance, Space, to_unit_length
from inspector.model.card import UnknownRule, UnknownSpace
from training.network.predict import predict_tiles
from training.recipe import Recipe

MAX_FEATURES = 256
TAPS = ("block_12_add", "block_14_add")
"""Linear maps, signed: of all layers of MobileNetV2 these recognize other mills' steel best, once they have length 1.
Those behind them also react to other coils of the same mill (`LOG.md`)."""
REACH_QUANTILE = 0.9999
LOGIT_GAIN = 0.2
SPACES = ("texture", "certainty")
UNKNOWN_FILE = "unknown.npz"
PLACES = 16
"""Most places of a label in the texture space."""
TILES_PER_PLACE = 20
MAX_PLACES = 256
"""Most places of all labels together: a product with more would wake threads (`inspector.inspection.distance`)."""
SPOILT_PLACES = 22
"""Most places of a label as a rough line shows it, in the texture space."""
TEXTURE_UNIT, CERTAINTY_UNIT = 0.99, 0.995
"""What is 1 in each space: the distance that so many of known held-out tiles stay below. Doubt costs defects as they
are, a strange texture only spoilt ones (`LOG.md`)."""


_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureHead:
    """What the texture part of `features` computes from each of `TAPS`.

    Attributes:
        channels: Per map, (n,) places among the 2 C means of its C channels: first those above zero, then below.
        reach: Per map, the largest mean that `features` can hold.
    """

    channels: tuple[npt.NDArray[np.intp], ...]
    reach: tuple[float, ...]

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """Return where each map's features begin and end."""
        ends = np.cumsum([0, *(len(each) for each in self.channels)]).tolist()
        return tuple(pairwise(ends))


def halves(network: Any, tiles: Sequence[Pixels], recipe: Recipe) -> list[_Floats]:
    """Return for each of `TAPS` (N, 2 C): what its channels reach above zero on average over a tile, then below."""
    means = [
        keras.layers.GlobalAveragePooling2D()(keras.ops.relu(sign * network.get_layer(name).output))
        for name in TAPS
        for sign in (1, -1)
    ]
    rows = predict_tiles(keras.Model(network.input, keras.ops.concatenate(means, axis=1)), tiles, recipe)
    ends = np.cumsum([2 * network.get_layer(name).output.shape[-1] for name in TAPS])
    return np.split(rows, ends[:-1], axis=1)


def fit_feature_head(means: Sequence[_Floats], size: int) -> FeatureHead:
    """Return the head of at most `size` features, the same number of each map: what varies most over training tiles."""
    each = size // len(means)
    channels = tuple(np.sort(np.argsort(-rows.std(axis=0), kind="stable")[:each]) for rows in means)
    reach = tuple(
        max(float(np.quantile(rows[:, chosen], REACH_QUANTILE)), 1e-3)
        for rows, chosen in zip(means, channels, strict=True)
    )
    return FeatureHead(channels, reach)


def fit_distance(
    features: _Floats, labels: Sequence[str], held: _Floats, groups: tuple[tuple[int, int], ...]
) -> FeatureDistance:
    """Return the distance fitted on int8 features of training tiles.

    Args:
        features: (N, K + C) of training tiles.
        labels: N.
        held: (M, K + C) of held-out tiles of known labels: they give both spaces their unit.
        groups: Of the K texture features, see `FeatureHead.groups`; the rest are logits.
    """
    end = groups[-1][1]
    texture = _fit_space(0, features[:, :end], groups, labels, PLACES)
    certainty = _fit_space(end, features[:, end:], (), labels, 1)
    return FeatureDistance((_in_units(texture, held, TEXTURE_UNIT), _in_units(certainty, held, CERTAINTY_UNIT)))


def with_spoilt_places(distance: FeatureDistance, features: _Floats, labels: Sequence[str]) -> FeatureDistance:
    """Return the distance that knows a label as a rough line shows it, too: blurred, turned, noisy.

    Places are added to the texture space; whitening, units and the certainty space stay as they are, so that nothing
    moves away. A doubtful network stays doubtful (`LOG.md`).

    Args:
        distance: As `fit_distance` returned it.
        features: (N, F) int8 features of spoilt training tiles that the network still names rightly.
        labels: N.
    """
    texture, *others = distance.spaces
    rows, names = to_unit_length(features[:, texture.start : texture.start + texture.size], texture.unit_length), labels
    room = (MAX_PLACES - len(texture.means)) // max(1, len(set(labels)))
    means = [texture.means]
    for name in sorted(set(labels)):
        mine = rows[np.array(names) == name]
        if count := min(SPOILT_PLACES, room, len(mine) // TILES_PER_PLACE):
            means.append(KMeans(count, n_init=1, random_state=0).fit(mine).cluster_centers_)
    grown = Space(texture.start, np.concatenate(means), texture.whitening, texture.unit_length)
    return FeatureDistance((grown, *others))


def rule_for(distance: FeatureDistance, threshold: float, false_unknown_rate: float) -> UnknownRule:
    """Return what a card says about the distance whose `arrays_of` are beside it."""
    spaces = tuple(
        UnknownSpace(name=name, start=space.start, unit_length=space.unit_length)
        for name, space in zip(SPACES, distance.spaces, strict=True)
    )
    return UnknownRule(
        file=UNKNOWN_FILE, threshold=round(threshold, 6), false_unknown_rate=false_unknown_rate, spaces=spaces
    )


def arrays_of(distance: FeatureDistance) -> dict[str, Any]:
    """Return the arrays of the distance's file, as `inspector.model.bundle.read_distance` reads them."""
    arrays: dict[str, Any] = {}
    for name, space in zip(SPACES, distance.spaces, strict=True):
        arrays |= {f"{name}_means": space.means, f"{name}_whitening": space.whitening}
    return arrays


def threshold_for(distances: _Floats, false_unknown_rate: float) -> float:
    """Return the distance that `false_unknown_rate` of known held-out tiles exceed."""
    return float(np.quantile(distances, 1 - false_unknown_rate, method="higher"))


def _fit_space(
    start: int, features: _Floats, groups: tuple[tuple[int, int], ...], labels: Sequence[str], places: int
) -> Space:
    """Return the space with the places of known tiles, and the covariance around them, shrunk by Ledoit and Wolf."""
    rows, names = to_unit_length(features, groups), np.array(labels)
    means, around = [], []
    for name in sorted(set(labels)):
        mine = rows[names == name]
        count = max(1, min(places, MAX_PLACES // len(set(labels)), len(mine) // TILES_PER_PLACE))
        nearest = KMeans(count, n_init=1, random_state=0).fit(mine)
        means.append(nearest.cluster_centers_)
        around.append(mine - nearest.cluster_centers_[nearest.labels_])
    precision = LedoitWolf(assume_centered=True).fit(np.concatenate(around)).precision_
    values, vectors = np.linalg.eigh(precision)
    return Space(start, np.concatenate(means), vectors * np.sqrt(np.maximum(values, 0)), groups)


def _in_units(space: Space, held: _Floats, quantile: float) -> Space:
    unit = max(float(np.quantile(space(held), quantile)), 1e-9)
    return Space(space.start, space.means, space.whitening / unit, space.unit_length)
