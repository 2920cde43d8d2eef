"""`inspector.pictures.child`: what a picture does to its decoder stays in the decoder's own process."""

from __future__ import annotations

import subprocess
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.errors import PictureError
from inspector.frame import Cause
from inspector.pictures import child
from inspector.pictures.child import decode_in_child
from inspector.pictures.decode import decode_picture

GREY = np.random.default_rng(5).integers(0, 256, (40, 60), np.uint8)
PNG = cv2.imencode(".png", GREY)[1].tobytes()


def test_a_picture_comes_back_as_it_would_here() -> None:
    """Grey and colour, 8 and 16 bit: the same pixels as without a child."""
    for pixels in (GREY, np.dstack([GREY] * 3), GREY.astype(np.uint16) * 200):
        data = cv2.imencode(".png", pixels)[1].tobytes()

        np.testing.assert_array_equal(
            decode_in_child(data, name="a", max_px=10**6, full_scale=51000),
            decode_picture(data, name="a", max_px=10**6, full_scale=51000),
        )


@pytest.mark.parametrize(
    ("data", "max_px", "reason", "text"),
    [
        (b"", 10**6, Cause.UNREADABLE, "a: empty: 0 bytes"),
        (PNG[:-20], 10**6, Cause.UNREADABLE, "a: truncated PNG"),
        (b"GIF89a", 10**6, Cause.UNSUPPORTED, "a: not a JPEG"),
        (PNG, 100, Cause.TOO_LARGE, "a: PNG has more than 100 pixels: 60x40"),
    ],
)
def test_a_refusal_comes_back_in_the_same_words(data: bytes, max_px: int, reason: Cause, text: str) -> None:
    """What `decode_picture` refuses is refused with its reason and its sentence."""
    with pytest.raises(PictureError, match=text) as caught:
        decode_in_child(data, name="a", max_px=max_px)

    assert caught.value.reason == reason


def test_a_picture_that_wants_too_much_costs_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that runs out of its memory or its time ends, and the caller is told so."""
    big = cv2.imencode(".png", np.zeros((9000, 9000), np.uint8))[1].tobytes()
    monkeypatch.setattr(child, "CHILD_TIME_S", 0)  # the child has its own limits: here nobody waits for it
    with pytest.raises(PictureError, match="decoding takes longer than 0 s") as caught:
        decode_in_child(big, name="a", max_px=10**9)

    assert caught.value.reason == Cause.DEADLY


@pytest.mark.parametrize(("kills", "good"), [(1, True), (2, True), (3, False)])
def test_a_child_that_is_killed_from_outside_is_replaced(
    monkeypatch: pytest.MonkeyPatch, kills: int, good: bool
) -> None:
    """A picture is not given up because somebody killed its decoder; one that always is killed is set aside."""
    data = cv2.imencode(".png", np.full((8, 8), 9, np.uint8))[1].tobytes()
    run, calls = subprocess.run, []

    def killed(*args: Any, **more: Any) -> Any:
        calls.append(args)
        return subprocess.CompletedProcess(args, -9, b"") if len(calls) <= kills else run(*args, **more)

    monkeypatch.setattr(subprocess, "run", killed)
    if good:
        assert decode_in_child(data, name="a", max_px=100).tolist() == [[9] * 8] * 8
    else:
        with pytest.raises(PictureError, match="signal 9"):
            decode_in_child(data, name="a", max_px=100)
