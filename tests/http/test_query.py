"""What stands behind the `?`: each address knows its keys, and `/api/defects` answers what was asked."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from bench import NO_SUCH_ID, Bench, ask
from coil_rows import placed, placed_defect
from fastapi.routing import APIRoute

from inspector.http.app import described_app
from inspector.store.reviews import Review

PATHS = sorted({route.path for route in described_app().routes if isinstance(route, APIRoute)})


@pytest.mark.parametrize("path", PATHS)
def test_no_address_takes_a_key_that_it_does_not_know(bench: Bench, path: str) -> None:
    """A filter that is ignored would answer another question: it is refused by its name."""
    method = "POST" if path in ("/api/classify", "/api/commands/{name}") else "GET"

    answer = ask(bench.app(), path.replace("{", "").replace("}", "") + "?strange=1", method)

    assert (answer.status_code, answer.json()["reason"]) == (422, "query")
    assert answer.json()["error"].startswith("'strange' is no parameter of ")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        pytest.param("limt=5", "'limt' is no parameter of /api/defects; did you mean limit?", id="a slip"),
        pytest.param("coil_id=1&coil_id=2", "coil_id: stands twice", id="two of one"),
        pytest.param("from=now", "from: expected a time", id="no time"),
        pytest.param("to=2026-13-01", "to: expected a time", id="no month"),
        pytest.param("position_m=9..3", "position_m: expected metres", id="backwards"),
        pytest.param("position_m=-4", "position_m: expected metres", id="before the head"),
        pytest.param("position_m=nan", "position_m: expected metres", id="no number"),
        pytest.param("cursor=7", "cursor: expected one that a Link header has given", id="no cursor"),
        pytest.param("severity=worst", "severity: ", id="no severity"),
        pytest.param("reviewed=perhaps", "reviewed: ", id="neither"),
        pytest.param("coil_id=" + "7" * 65, "coil_id: ", id="too long"),
    ],
)
def test_a_wrong_value_is_named(bench: Bench, query: str, says: str) -> None:
    """The answer is 422, and says which key, and what is expected."""
    answer = ask(bench.app(), f"/api/defects?{query}")

    assert (answer.status_code, answer.json()["reason"]) == (422, "query")
    assert answer.json()["error"].startswith(says)


@pytest.fixture
def strip(bench: Bench) -> Bench:
    """Two coils: ten defects on the first, a metre apart and 0.1 s, cracks and holes in turn; two on the second."""
    bodies = [placed_defect(number, "hole" if number % 2 else "crack") for number in range(10)]
    bodies += [placed_defect(number, "rust", coil_id="7732", position_m=4.0) for number in (10, 11)]
    bench.store.commit([placed(*bodies)])
    bench.store.reviews.add(Review(bodies[3].defect_id, 1, "false_call"))
    return bench


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        pytest.param("coil_id=7732", [11, 10], id="coil"),
        pytest.param("coil_id=none", [], id="no such coil"),
        pytest.param("label=hole", [9, 7, 5, 3, 1], id="label"),
        pytest.param("severity=minor", [11, 10], id="severity"),
        pytest.param("coil_id=7731&position_m=2..4", [4, 3, 2], id="metres"),
        pytest.param("coil_id=7731&position_m=2-4", [4, 3, 2], id="metres, as of records"),
        pytest.param("coil_id=7731&position_m=4", [4], id="one metre"),
        pytest.param("coil_id=7731&position_m=4.4", [4], id="as near as a place is exact"),
        pytest.param("reviewed=true", [3], id="judged"),
        pytest.param("reviewed=false&label=hole", [9, 7, 5, 1], id="not judged"),
        pytest.param("from=2026-03-01T12:00:00.400Z&to=2026-03-01T12:00:00.700Z", [6, 5, 4], id="time"),
        pytest.param("from=2026-03-01T13:00:01.000+01:00", [11, 10], id="with a zone, the plus sign not encoded"),
        pytest.param("to=2026-03-01T12:00:00.100", [0], id="without a zone"),
    ],
)
def test_filters_choose(strip: Bench, query: str, numbers: list[int]) -> None:
    """Each filter leaves out what does not fit it, and they add up; the newest comes first."""
    rows = ask(strip.app(), f"/api/defects?{query}").json()

    assert [row["frame"]["frame_id"] for row in rows] == numbers


@pytest.mark.parametrize("limit", [1, 3, 5, 10])
def test_link_leads_through_all_pages(strip: Bench, limit: int) -> None:
    """Who follows `Link` sees each defect of the filter once, on pages as long as asked, and then there is no more."""
    app, seen, path = strip.app(), list[Any](), f"/api/defects?coil_id={quote('7731')}&limit={limit}"
    while path:
        answer = ask(app, path)
        seen.append([row["frame"]["frame_id"] for row in answer.json()])
        path = answer.links.get("next", {}).get("url", "")

    assert [number for page in seen for number in page] == [*range(9, -1, -1)]
    assert {len(page) for page in seen[:-1]} <= {limit}


def test_a_page_that_holds_all_has_no_link(strip: Bench) -> None:
    """Nothing follows: no client asks once more for an empty page."""
    answer = ask(strip.app(), "/api/defects?coil_id=7731&limit=10")

    assert (len(answer.json()), "link" in answer.headers) == (10, False)


def test_known_keys_are_taken_wherever_they_are(bench: Bench) -> None:
    """The browser's request for a picture carries its hash, and a page its pace."""
    assert ask(bench.app(), f"/evidence/{NO_SUCH_ID}.jpg?v=1").status_code == 404
    assert ask(bench.app(), "/?refresh=0").status_code == 200
