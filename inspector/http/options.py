"""How the listener listens and what it lets in, and the file that holds its token."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field

from inspector.errors import ConfigError
from inspector.pictures.limits import MAX_FRAME_PX
from inspector.settings.alarm import LabelWords
from inspector.settings.sections import Http

MIN_TOKEN_CHARACTERS = 16


class HttpOptions(Http):
    """The section `[http]`, with its token read and the limits of a picture.

    Attributes:
        token: What every request but `/healthz` must carry, as bearer token or as password of HTTP Basic; None: open to
            any request that names this machine.
        max_frame_px: Most pixels that `/api/classify` decodes.
        full_scale: As `decode_picture`.
        upload_timeout_s: Longest wait for a picture to arrive.
        refresh_s: After how long the status page asks to be loaded again.
        root: Topic root of the station, which names its defects.
        labels: What the plant calls labels.
    """

    token: str | None = Field(default=None, repr=False)
    max_frame_px: int = MAX_FRAME_PX
    full_scale: int | None = None
    upload_timeout_s: float = 30.0
    refresh_s: int = 5
    root: str = ""
    labels: dict[str, LabelWords] = Field(default={})

    def names(self, language: str) -> dict[str, str]:
        """Return what the plant calls labels in a language, with its code; a label without a name stays as it is."""
        return {
            label: " ".join(filter(None, (words.name_in(language) or label, words.code and f"({words.code})")))
            for label, words in self.labels.items()
        }


def read_token(path: Path) -> str:
    """Return the token in a file: one line of at least 16 printable ASCII characters.

    Raises:
        ConfigError: Names key and file, and never the token.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"http.token_file: {path}: ASCII text is wanted") from exc
    except OSError as exc:
        raise ConfigError(f"http.token_file: {path}: cannot be read: {exc.strerror}") from exc
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigError(f"http.token_file: {path}: one line without spaces is wanted")
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise ConfigError(
            f"http.token_file: {path}: too short, {MIN_TOKEN_CHARACTERS} characters are wanted: {len(token)}"
        )
    return token
