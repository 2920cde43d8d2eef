"""The interface is described as it is: `openapi.json`, and a page that shows it without script."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

from bench import Bench, ask
from fastapi.routing import APIRoute

from inspector.http.app import described_app, make_app

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
HIDDEN = {"/favicon.ico", "/api", "/openapi.json"}
"""For browsers, and what describes."""


def test_every_route_is_described(bench: Bench) -> None:
    """With the method that it takes, and every refusal that it declares."""
    app = make_app(bench.options, bench.shown())
    taken = {
        (route.path_format, method.lower())
        for route in app.routes
        if isinstance(route, APIRoute) and route.path not in HIDDEN
        for method in route.methods or ()
        if method != "HEAD"
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = app.openapi()["paths"]

    assert {(path, method) for path, methods in paths.items() for method in methods} == taken
    assert all(route["summary"] and route["responses"] for methods in paths.values() for route in methods.values())


def test_the_description_is_answered_as_it_is_committed(bench: Bench) -> None:
    """What a station answers is the file of the documentation."""
    answer = ask(bench.app(), "/openapi.json")

    assert answer.json() == json.loads(REFERENCE.read_text("utf-8")) == described_app().openapi()


def test_the_page_shows_every_route(bench: Bench) -> None:
    """To people, without script and without anything from elsewhere."""
    page = ask(bench.app(), "/api").text

    for path, methods in described_app().openapi()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page
    assert not re.search(r"<script|https?://", page)
