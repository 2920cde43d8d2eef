"""What the header of a picture promises, and how a picture is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from inspector.frame import Cause

Samples = npt.NDArray[Any]


class Refusal(Exception):  # noqa: N818 - becomes a PictureError as soon as the file's name is known
    """Why a picture is refused; becomes a `PictureError` as soon as the file's name is known."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def unreadable(message: str) -> Refusal:
    """Return the refusal of a damaged picture."""
    return Refusal(Cause.UNREADABLE, message)


def unsupported(message: str) -> Refusal:
    """Return the refusal of a picture that may be whole, but is of a kind that is not supported."""
    return Refusal(Cause.UNSUPPORTED, message)


@dataclass(frozen=True, slots=True)
class Header:
    """What a header promises.

    Attributes:
        pixel_bytes: Bytes a pixel while it is decoded: channels times depth, also of those that are dropped.
        coded: What OpenCV is given: the file, or the same pixels under a header that it reads faithfully.
        grey: The first channel is enough (grey with alpha).
        finish: What is left to do with the decoded array.
    """

    width_px: int
    height_px: int
    pixel_bytes: int
    coded: Callable[[], bytes]
    grey: bool = False
    finish: Callable[[Samples], Samples] | None = None
