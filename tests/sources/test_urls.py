"""A URL is sent as a browser sends it, and shown without secrets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from http_camera import HttpCamera, part, stream
from rigs import jpeg, make_camera, number_of, only_frames, read_items

from inspector.sources.base import FrameSource

Open = Callable[[FrameSource], FrameSource]


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("prüf/a b.mjpg", "/pr%C3%BCf/a%20b.mjpg"),
        ("a%20b%C3%BC.mjpg", "/a%20b%C3%BC.mjpg"),
        ("cam?size=1280x720&name=lö,(1)/~@%26", "/cam?size=1280x720&name=l%C3%B6,(1)/~@%26"),
    ],
)
def test_a_url_is_sent_as_a_browser_sends_it(path: str, sent: str, opened: Open) -> None:
    """What is no URL text is encoded; what is encoded already stays as it is."""
    with HttpCamera(stream(part(jpeg(5)))) as camera:
        source = make_camera(camera.url.replace("cam.mjpg", path))
        opened(source)

        assert number_of(only_frames(read_items(source, 1))[0]) == 5
        assert camera.requests[0].startswith(f"GET {sent} HTTP/1.1\r\n")


def test_a_query_is_not_shown() -> None:
    """Some cameras take their password there."""
    assert make_camera("http://cam/video?user=a&pwd=secret").description == "http://cam/video?..."
