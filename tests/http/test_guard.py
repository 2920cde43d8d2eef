"""Who may ask: the token, the name of this machine, and what every answer carries."""

from __future__ import annotations

import base64

import pytest
from bench import NO_SUCH_ID, TOKEN, Bench, ask, still

from inspector.http.app import make_app
from inspector.http.guard import SECURITY_HEADERS
from inspector.http.page import PageFacts


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        pytest.param(None, 401, id="nothing"),
        pytest.param(f"Bearer {TOKEN}", 200, id="bearer"),
        pytest.param(f"bearer  {TOKEN}", 200, id="other case"),
        pytest.param(basic("anybody", TOKEN), 200, id="basic password"),
        pytest.param(basic("", TOKEN), 200, id="basic without user"),
        pytest.param(f"Bearer {TOKEN[:-1]}", 401, id="shorter"),
        pytest.param(f"Bearer {TOKEN}x", 401, id="longer"),
        pytest.param("Bearer ", 401, id="empty bearer"),
        pytest.param(basic(TOKEN, ""), 401, id="token as user"),
        pytest.param("Basic !!!", 401, id="no base64"),
        pytest.param(f"Token {TOKEN}", 401, id="unknown scheme"),
        pytest.param(TOKEN, 401, id="bare token"),
        pytest.param("Bearer \xe4\xf6\xfc", 401, id="not ASCII"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/api/defects"])
def test_a_token_is_asked_for(bench: Bench, path: str, authorization: str | None, status: int) -> None:
    """With a token set, nothing but the right one opens, as bearer or as the password that a browser asks for."""
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}

    answer = ask(bench.app(token=TOKEN), path, headers=headers)

    assert answer.status_code == status
    if status == 401:
        assert [value.split()[0] for value in answer.headers.get_list("www-authenticate")] == ["Basic", "Bearer"]
        assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        pytest.param("/healthz", "GET", 200, id="health is open"),
        pytest.param("//healthz", "GET", 401, id="no other spelling of it"),
        pytest.param("/healthz/", "GET", 401, id="nor this one"),
        pytest.param(f"/evidence/{NO_SUCH_ID}.jpg", "GET", 401, id="evidence"),
        pytest.param("/api/classify", "POST", 401, id="classify"),
        pytest.param("/no/such/page", "GET", 401, id="what is not there"),
    ],
)
def test_only_health_is_open(bench: Bench, path: str, method: str, status: int) -> None:
    """With a token set, only `/healthz` answers without it; not even what exists can be learned."""
    assert ask(bench.app(token=TOKEN), path, method).status_code == status


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        pytest.param("/", "GET", 200, id="page"),
        pytest.param("/metrics", "GET", 200, id="metrics"),
        pytest.param("/healthz", "GET", 200, id="health"),
        pytest.param("/api/defects", "GET", 200, id="defects"),
        pytest.param("/api/defects?limit=0", "GET", 422, id="bad query"),
        pytest.param("/api/classify", "POST", 422, id="empty picture"),
        pytest.param("/api/classify", "GET", 405, id="wrong method"),
        pytest.param("/", "POST", 405, id="the page takes nothing"),
        pytest.param("/docs", "GET", 404, id="no docs"),
        pytest.param("/redoc", "GET", 404, id="no redoc"),
        pytest.param("/openapi.json", "GET", 200, id="description"),
        pytest.param("/api", "GET", 200, id="description for people"),
        pytest.param("/ui/page.css", "GET", 404, id="no files"),
    ],
)
def test_every_answer_is_guarded(bench: Bench, path: str, method: str, status: int) -> None:
    """Every answer, refusals too, carries the security headers, and an error is JSON with a reason."""
    answer = ask(bench.app(), path, method)

    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert answer.headers["cache-control"] == "no-store"
    if status >= 400:
        assert {"error", "reason"} <= set(answer.json())


def test_a_fault_tells_nothing(bench: Bench) -> None:
    """A fault answers 500 with the security headers and without a word of what it was."""

    def burst() -> PageFacts:
        raise RuntimeError("inner secret")

    answer = ask(make_app(bench.options, bench.shown(facts=burst)), "/")

    assert answer.status_code == 500
    assert "inner secret" not in answer.text
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("localhost:9108", 200, id="tunnel by name"),
        pytest.param("127.0.0.1:9108", 200, id="tunnel by address"),
        pytest.param("LOCALHOST", 200, id="large letters, no port"),
        pytest.param("127.8.0.1", 200, id="another loopback address"),
        pytest.param("[::1]:9108", 200, id="IPv6"),
        pytest.param("[::1]", 200, id="IPv6, no port"),
        pytest.param("line-pc:9108", 200, id="the configured address"),
        pytest.param("rebound.example:9108", 421, id="a page's own name"),
        pytest.param("127.0.0.1.rebound.example", 421, id="a name that begins like it"),
        pytest.param("localhost.rebound.example", 421, id="another one"),
        pytest.param("192.0.2.1:9108", 421, id="a foreign address"),
        pytest.param("[2001:db8::1]:9108", 421, id="a foreign IPv6 address"),
    ],
)
def test_without_a_token_only_this_machine_is_answered(bench: Bench, host: str, status: int) -> None:
    """A web page that makes its own name point to loopback reads nothing; tunnels and local scrapers do."""
    [defect_id] = bench.find(still(), "crack")
    app = bench.app(address="line-pc")

    for path in ("/", "/healthz", "/metrics", "/api/defects", f"/evidence/{defect_id}.jpg"):
        answer = ask(app, path, headers={"Host": host})
        assert answer.status_code == status
        assert status == 200 or (answer.json()["reason"], answer.json()["error"][-len(host) :]) == ("host", host)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_with_a_token_any_name_is_answered(bench: Bench) -> None:
    """A station that asks for its token may be asked by any name: a page that turned its name here has no token."""
    answer = ask(bench.app(token=TOKEN), "/", headers={"Host": "line-pc.example", "Authorization": f"Bearer {TOKEN}"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 422, id="a program"),
        pytest.param({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 422, id="our own page"),
        pytest.param({"Sec-Fetch-Site": "none"}, 422, id="a person"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="another site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="another host of the site"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="an old browser"),
        pytest.param({"Origin": "null"}, 403, id="a page without origin"),
        pytest.param({"Origin": "http://localhost:8000"}, 403, id="another port"),
        pytest.param({"Origin": "http://["}, 403, id="no address at all"),
    ],
)
def test_another_sites_page_cannot_send_anything(bench: Bench, headers: dict[str, str], status: int) -> None:
    """A browser's request for a page of another site is refused before it is read; no preflight protects from it."""
    kind = {"Content-Type": "text/plain", "Host": "localhost"}
    answer = ask(bench.app(), "/api/classify", "POST", content=b"no picture", headers={**kind, **headers})

    assert answer.status_code in ({status, 415} if status == 422 else {status})
    assert status != 403 or answer.json()["reason"] == "cross_site"
