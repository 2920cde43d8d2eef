"""The strip without defects: texture, light across it, slow brightness along it, water marks."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from inspector.drawn.noise import KNOTS, LIGHT, ONE, SURFACE, Delta, Ints, between, noise_field, rng_of
from inspector.drawn.shapes import draw_blob, fade_rim
from inspector.drawn.spec import StripSpec

CHUNK_LINES = 256
"""Lines drawn at once (they stay in the cache), and the distance of the knots of the slow brightness."""
KNOT_PX = 200
MARK_LINES = 2048
"""Length of a section with its own faint water marks."""


@lru_cache(maxsize=2)
def draw_surface(seed: int) -> tuple[Delta, ...]:
    """Return three layers of texture, sixteenths of a grey level; they repeat only together.

    Grain runs along the strip, roughness is the pickled or scaled skin, the last is the camera's noise. Their sides are
    primes, so that the sum repeats after far more lines than a coil has.
    """
    rng = rng_of(seed, SURFACE, 0)
    grain, skin, noise = (int(ONE * between(rng, *span)) for span in ((1.5, 4.5), (1.5, 4.5), (1.0, 2.5)))
    length = int(rng.integers(15, 60))
    streaks = noise_field(rng, 1021, 389, ((length, 1), (length, 2)), grain)
    streaks += noise_field(rng, 1021, 389, ((7, 1),), grain // 2)
    rough = noise_field(rng, 509, 487, ((3, 3), (2, 2)), skin) + noise_field(rng, 509, 487, ((9, 7), (9, 7)), skin // 2)
    camera = noise_field(rng, 383, 521, (), noise)
    return tuple(layer.astype(np.int16) for layer in (streaks, rough, camera))


def level_of(seed: int) -> int:
    """Return the mean brightness of a strip, sixteenths of a grey level."""
    return int(ONE * between(rng_of(seed, LIGHT, 0), 95, 160))


@lru_cache(maxsize=4)
def light_of(spec: StripSpec) -> Ints:
    """Return the light across the strip, 256 for full: less at the edges, tilted, with faint bands of the rolls."""
    rng = rng_of(spec.seed, LIGHT, 1)
    across = np.arange(spec.width_px) * (2 / (spec.width_px - 1)) - 1
    middle, fall, tilt = between(rng, -0.3, 0.3), between(rng, 0.08, 0.28), between(rng, -0.08, 0.08)
    light = 1 - fall * (across - middle) * (across - middle) + tilt * across
    bands = noise_field(rng, 1, spec.width_px, ((1, 21), (1, 9)), 3)[0]
    return np.asarray(np.floor(light * 256).astype(np.int32) + bands, np.int32)


@lru_cache(maxsize=16)
def knots_of(spec: StripSpec, number: int) -> Delta:
    """Return one row of the slow brightness across the strip, sixteenths of a grey level, at most 120."""
    columns = spec.width_px // KNOT_PX + 2
    rng = rng_of(spec.seed, KNOTS, number)
    knots = rng.integers(-80, 81, columns).astype(np.int32) + int(rng.integers(-40, 41))
    place = np.arange(spec.width_px)
    left, share = place // KNOT_PX, place % KNOT_PX
    return ((knots[left] * (KNOT_PX - share) + knots[left + 1] * share) // KNOT_PX).astype(np.int16)


def draw_water_mark(rng: np.random.Generator, height: int, width: int) -> Delta:
    """Return a large soft stain with a slightly stronger rim: harmless."""
    small = fade_rim(draw_blob(rng, height // 8, width // 8, 5, 0.0))
    mask = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR_EXACT), np.int32)
    rim = mask * (255 - mask) // 64
    depth = int(ONE * between(rng, -4, 4))
    return ((mask * depth + rim * depth // 2) // 255).astype(np.int16)
