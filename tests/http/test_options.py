"""The file of the token."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import TOKEN

from inspector.errors import ConfigError
from inspector.http.options import HttpOptions, read_token


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(b"0123456789abcde", "too short", id="short"),
        pytest.param(b"", "one line", id="empty"),
        pytest.param(b"two words of a pass phrase", "one line", id="spaces"),
        pytest.param(b"first-line-of-two\nsecond-line-of-two\n", "one line", id="two lines"),
        pytest.param("schlüssel-für-die-station".encode(), "ASCII", id="not ASCII"),
        pytest.param(None, "No such file", id="missing"),
    ],
)
def test_a_bad_token_file_is_refused(tmp_path: Path, text: bytes | None, complaint: str) -> None:
    """The error names key and file and what is wrong, and never holds the token."""
    path = tmp_path / "token"
    if text is not None:
        path.write_bytes(text)

    with pytest.raises(ConfigError, match=complaint) as caught:
        read_token(path)

    assert str(caught.value).startswith(f"http.token_file: {path}: ")
    assert not text or text.decode().split()[0] not in str(caught.value)


def test_a_token_file_is_one_line(tmp_path: Path) -> None:
    """The end of the line does not count, and the token never shows in the options' text."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")

    assert read_token(tmp_path / "token") == TOKEN
    assert TOKEN not in repr(HttpOptions(token=TOKEN))
