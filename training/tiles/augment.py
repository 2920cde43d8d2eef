"""Changes to a tile before training shows it to the network: what cameras, light and belts do to steel.

NumPy and OpenCV on uint8 tiles, so that the daemon's one preprocessing (`inspector.inspection.preprocess`) comes last,
as it does on the line. Every change is drawn from the generator that is handed in: one seed, one tile, one result.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels
from training.recipe import Augment


def augment(tile: Pixels, rng: np.random.Generator, policy: Augment) -> Pixels:
    """Return a changed copy of a square uint8 grey tile, same size."""
    return augment_marked(tile, None, rng, policy)[0]


def augment_marked(
    tile: Pixels, marked: Pixels | None, rng: np.random.Generator, policy: Augment
) -> tuple[Pixels, Pixels | None]:
    """Return a changed copy of a tile, and the mask `marked` of the same size turned and moved with it."""
    changed, marked = _pose(tile, marked, rng, policy)
    if rng.random() < policy.light:
        changed = light_gradient(changed, rng.uniform(0, 2 * np.pi), rng.uniform(0, policy.gradient))
    if rng.random() < policy.exposure:
        changed = expose(
            changed,
            contrast=1 + rng.uniform(-policy.contrast, policy.contrast),
            brightness=rng.uniform(-policy.brightness, policy.brightness),
            gamma=float(np.exp(rng.uniform(-policy.gamma, policy.gamma))),
        )
    if rng.random() < policy.blur:
        if rng.random() < 0.5:
            changed = blur(changed, rng.uniform(0.3, max(0.31, policy.blur_sigma_px)))
        else:
            changed = motion_blur(changed, int(rng.integers(2, max(3, policy.motion_px + 1))), rng.uniform(0, 180))
    if rng.random() < policy.noise:
        changed = add_noise(changed, rng.uniform(1, max(1.1, policy.noise_sigma)), rng)
    if policy.rough and rng.random() < policy.rough:  # without it older recipes draw the same lots as ever
        changed = _sensor(changed, rng)
    if rng.random() < policy.jpeg:
        changed = jpeg(changed, int(rng.integers(policy.jpeg_quality, 91)))
    return np.ascontiguousarray(changed), marked


def _sensor(tile: Pixels, rng: np.random.Generator) -> Pixels:
    """Return what a sensor that nobody corrected gives: uneven columns, or dead and hot pixels."""
    if rng.random() < 0.5:
        return uneven_columns(tile, rng.uniform(0.01, 0.08), rng)
    return salt_and_pepper(tile, rng.uniform(0.002, 0.03), rng)


def vary_clean(tile: Pixels, other: Pixels, rng: np.random.Generator, policy: Augment) -> Pixels:
    """Return another clean surface: the tile mixed with `other`, stretched; without a defect before, it has none after.

    Args:
        tile: (H, W) uint8, without a defect.
        other: (H, W) uint8, without a defect.
        rng: Decides what happens.
        policy: How often (`clean_mix`) and how far (`clean_scale`).
    """
    if rng.random() < policy.clean_mix:
        share = rng.uniform(0.2, 0.8)
        mixed = share * tile + (1 - share) * _turned(other, rng)
        mean = mixed.mean()
        tile = to_bytes(mean + (mixed - mean) * rng.uniform(1.0, 1.6))
    if rng.random() < policy.clean_mix:
        tile = stretch(tile, *np.exp(rng.uniform(-1, 1, 2) * np.log(policy.clean_scale)))
    return tile


def _turned(tile: Pixels, rng: np.random.Generator) -> Pixels:
    turns = int(rng.integers(4))
    return np.rot90(tile, turns if tile.shape[0] == tile.shape[1] else turns // 2 * 2)


def stretch(tile: Pixels, across: float, along: float) -> Pixels:
    """Return the tile's middle drawn larger by these factors; where they are below one, its mirror images join."""
    height, width = tile.shape
    matrix = np.array([[across, 0, (1 - across) * width / 2], [0, along, (1 - along) * height / 2]])
    # Shrunk without smoothing, grain would turn into specks.
    smooth = tile if min(across, along) >= 1 else blur(tile, 0.4 / min(across, along))
    return _warp(smooth, matrix)


def _pose(
    tile: Pixels, marked: Pixels | None, rng: np.random.Generator, policy: Augment
) -> tuple[Pixels, Pixels | None]:
    changed = [tile] if marked is None else [tile, marked]
    if rng.random() < policy.flip:
        changed = [each[:, ::-1] for each in changed]
    if rng.random() < policy.flip:
        changed = [each[::-1] for each in changed]
    if rng.random() < policy.quarter_turn:
        changed = [np.rot90(each) for each in changed]
    if policy.rough and rng.random() < policy.rough:
        angle = rng.uniform(0, 360)
        changed = [turn(each, angle) for each in changed]
    if rng.random() < policy.affine:
        side = tile.shape[0]
        angle = rng.uniform(-policy.rotate_deg, policy.rotate_deg)
        scale = 1 + rng.uniform(-policy.zoom, policy.zoom)
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, scale)
        matrix[:, 2] += rng.uniform(-policy.translate, policy.translate, 2) * side
        changed = [_warp(each, matrix) for each in changed]
    return changed[0], None if marked is None else np.ascontiguousarray(changed[1])


def _warp(pixels: Pixels, matrix: npt.NDArray[Any]) -> Pixels:
    warped = cv2.warpAffine(
        np.ascontiguousarray(pixels),
        matrix,
        pixels.shape[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(warped, np.uint8)


def to_bytes(values: npt.NDArray[Any]) -> Pixels:
    """Round and clip to uint8."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def light_gradient(tile: Pixels, angle: float, strength: float) -> Pixels:
    """Make one side brighter and the other darker by `strength` (0.4: a factor from 0.6 to 1.4)."""
    height, width = tile.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    slope = (np.cos(angle) * x + np.sin(angle) * y) / (abs(np.cos(angle)) + abs(np.sin(angle)))
    return to_bytes(tile * (1 + strength * slope))


def expose(tile: Pixels, *, contrast: float = 1.0, brightness: float = 0.0, gamma: float = 1.0) -> Pixels:
    """Stretch around the tile's mean, shift, and bend by `gamma`, as one table."""
    mean = float(tile.mean())
    grey = np.arange(256, dtype=np.float64)
    linear = np.clip((grey - mean) * contrast + mean + brightness, 0, 255)
    return np.asarray(cv2.LUT(tile, to_bytes(255 * (linear / 255) ** gamma)), np.uint8)


def blur(tile: Pixels, sigma_px: float) -> Pixels:
    """Defocus."""
    return np.asarray(cv2.GaussianBlur(tile, (0, 0), sigma_px), np.uint8)


def motion_blur(tile: Pixels, length_px: int, angle_deg: float) -> Pixels:
    """Smear along a line of `length_px`."""
    kernel = np.zeros((length_px, length_px), np.float32)
    kernel[length_px // 2] = 1.0
    centre = ((length_px - 1) / 2, (length_px - 1) / 2)
    kernel = np.asarray(
        cv2.warpAffine(kernel, cv2.getRotationMatrix2D(centre, angle_deg, 1.0), (length_px, length_px)), np.float32
    )
    return np.asarray(cv2.filter2D(tile, -1, kernel / max(float(kernel.sum()), 1e-6)), np.uint8)


def add_noise(tile: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Add normal noise of `sigma` grey levels."""
    return to_bytes(tile + rng.normal(0, sigma, tile.shape).astype(np.float32))


def jpeg(tile: Pixels, quality: int) -> Pixels:
    """Compress and decompress."""
    _, raw = cv2.imencode(".jpg", tile, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE), np.uint8)


def turn(tile: Pixels, angle_deg: float) -> Pixels:
    """Turn around the middle; what comes in from outside is the tile's mirror image."""
    height, width = tile.shape
    return _warp(tile, cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0))


def uneven_columns(tile: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Give each column a gain of its own, normal around 1: a line sensor that was not corrected."""
    return to_bytes(tile * (1 + rng.normal(0, sigma, tile.shape[1])))


def salt_and_pepper(tile: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Make this share of the pixels black or white, half of it each."""
    spoilt, lots = tile.copy(), rng.random(tile.shape)
    spoilt[lots < share / 2] = 0
    spoilt[lots > 1 - share / 2] = 255
    return spoilt
