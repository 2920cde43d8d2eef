"""Artificial clean surfaces, drawn from a seed: they stand for the mills without pictures."""

from __future__ import annotations

import cv2
import numpy as np

from inspector.frame import Pixels
from training.tiles.augment import blur, to_bytes

GROUND_SHARE = 0.4
"""Share of artificial surfaces that are ground or brushed."""


def texture(side: int, rng: np.random.Generator) -> Pixels:
    """Return one artificial clean surface, (side, side) uint8."""
    if rng.random() < GROUND_SHARE:
        return ground_surface(side, rng)
    falloff = rng.uniform(0.0, 1.8)
    stretch = float(np.exp(rng.uniform(0, 4))) if rng.random() < 0.6 else 1.0
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    turn = rng.uniform(0, np.pi) if rng.random() < 0.3 else int(rng.integers(0, 2)) * np.pi / 2
    u, v = np.cos(turn) * fx + np.sin(turn) * fy, -np.sin(turn) * fx + np.cos(turn) * fy
    radius = np.sqrt((u * stretch) ** 2 + v**2) + 0.005
    spectrum = np.fft.rfft2(rng.normal(size=(side, side))) / radius**falloff
    noise = np.fft.irfft2(spectrum, s=(side, side))
    if rng.random() < 0.3:  # ground or brushed: many streaks along the whole tile, some of them bright
        streaks = np.cumsum(rng.normal(size=side)) * 0.02 + rng.gamma(rng.uniform(0.3, 2), 1.0, side) * rng.choice(
            (-1, 1)
        )
        noise = 0.3 * noise / max(float(noise.std()), 1e-9) + (streaks - streaks.mean())[None, :]
        noise = noise * (1 + 0.5 * np.cumsum(rng.normal(size=(side, 1)), axis=0) / side**0.5)
    noise = noise / max(float(noise.std()), 1e-9)
    level, spread = rng.uniform(30, 225), float(np.exp(rng.uniform(np.log(1.0), np.log(20))))
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.4) * (np.cos(angle) * x + np.sin(angle) * y)
    surface = to_bytes(level * light + spread * noise + rng.normal(0, rng.uniform(0, 6), (side, side)))
    if rng.random() < 0.1:  # the strip's edge, and dark beyond it
        edge = int(rng.integers(side // 20, side - side // 20))
        surface[:, :edge] = to_bytes(rng.normal(rng.uniform(0, 25), 2, (side, edge)))
    if rng.random() < 0.3:
        surface = blur(surface, rng.uniform(0.5, 2.5))
    return np.ascontiguousarray(np.rot90(surface, int(rng.integers(4))))


def ground_surface(side: int, rng: np.random.Generator) -> Pixels:
    """Return a ground or brushed surface, (side, side) uint8: streaks without number, dark and bright, short and long.

    Layers of noise drawn out along one direction, some bent to a heavy tail (glints), over a slow profile across.
    """
    field = np.zeros((side, side), np.float32)
    for _ in range(int(rng.integers(2, 5))):
        across, along = rng.uniform(0.3, 2.0), float(np.exp(rng.uniform(np.log(6), np.log(300))))
        layer = rng.normal(size=(side, side)).astype(np.float32)
        layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), sigmaX=across, sigmaY=min(along, side)), np.float32)
        layer /= max(float(layer.std()), 1e-9)
        field += rng.uniform(0.2, 1.0) * np.sign(layer) * np.abs(layer) ** rng.uniform(1.0, 1.8)
    field /= max(float(field.std()), 1e-9)
    profile = np.cumsum(rng.normal(size=side))
    profile = (profile - profile.mean()) / max(float(np.abs(profile).max()), 1e-9)
    spread, level = float(np.exp(rng.uniform(np.log(2.0), np.log(28)))), rng.uniform(40, 215)
    light = np.linspace(-1, 1, side)[:, None] * rng.uniform(-0.25, 0.25)
    surface = level * (1 + light) + spread * field + rng.uniform(0, 45) * profile[None, :]
    if rng.random() < 0.25:  # the end of the piece, and dark beyond it
        edge = int(rng.integers(2, side // 4))
        surface[:, :edge] = rng.uniform(0, 30) + rng.normal(0, 2, (side, edge))
    surface = to_bytes(surface + rng.normal(0, rng.uniform(0, 4), (side, side)))
    return np.ascontiguousarray(np.rot90(surface, int(rng.integers(4))))
