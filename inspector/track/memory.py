"""The state of `track` as text and back: it is stored with the messages, so that a crash forgets nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from inspector.track.state import TrackState

VERSION = 1
"""Version of the text's form. A release that cannot read a state begins with an empty one."""


@dataclass(frozen=True, slots=True)
class _Kept:
    version: int
    state: TrackState


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[_Kept]:
    return TypeAdapter(_Kept)


def to_text(state: TrackState) -> str:
    """Return the state as JSON."""
    return _adapter().dump_json(_Kept(VERSION, state), by_alias=True).decode()


def from_text(text: str) -> TrackState:
    """Return the state that `to_text` wrote.

    Raises:
        ValueError: It was written by a release with another form, or is damaged.
    """
    try:
        kept = _adapter().validate_json(text)
    except ValidationError as exc:
        raise ValueError(f"the stored state cannot be read: {exc.errors()[0]['msg']}") from exc
    if kept.version != VERSION:
        raise ValueError(f"the stored state has another form, {kept.version} (this release knows {VERSION})")
    return kept.state
