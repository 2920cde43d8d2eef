"""What the interface over HTTP is: every route with its parameters, bodies and answers, as OpenAPI and as a page.

FastAPI writes the description from the routes; its own pages load scripts from elsewhere, so the page is ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Depends, FastAPI, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.routing import APIRoute
from markupsafe import Markup, escape
from pydantic import BaseModel

from inspector import __version__
from inspector.command_table import COMMANDS
from inspector.http.answers import JSONResponse
from inspector.http.page import CATALOGUE, FOLDER, STYLE
from inspector.http.query import refuse_unknown_keys
from inspector.messages import DefectMessage, HealthMessage, ReplyMessage
from inspector.pages.language import ENGLISH
from inspector.pages.templates import templates
from inspector.reports.report import CoilReport

ABOUT = """What a station shows and takes over HTTP. Times are UTC; messages are those of MQTT.

Where `http.token_file` is set, every address but `/healthz` needs the token, as `Authorization: Bearer TOKEN` or as the
password of Basic; commands need it always. Every refusal is JSON with `error`, a sentence, and `reason`, a word. A
parameter that an address does not know is refused."""


class Refusal(BaseModel):
    """Why a request was refused."""

    error: str
    """For people."""
    reason: str
    """For programs."""


class ClassifiedPicture(BaseModel):
    """What the model says of a picture, as `inspector classify --json` prints it."""

    path: str
    """Its name."""
    label: str
    """The decision: the most severe defect, else `unclassified`, else `unknown`, else `clean`."""
    top: str
    """The highest score's label."""
    score: float
    scores: dict[str, float]
    box_px: dict[str, int] | None
    reference: str | None
    """Hash of the site's reference; null: not taught."""
    tiles: list[dict[str, Any]]
    """Each with `box_px`, `label`, `top`, `score`, and its `distance` from the reference."""


class CoilRow(BaseModel):
    """A coil that runs or ran."""

    coil_id: str
    run: int
    """Number of the run: a coil may come twice."""
    started_at: str
    ended_at: str | None
    """Null while it runs."""
    length_m: float | None
    """Measured; null: only frames are known."""
    inspected_m: float | None
    coverage: float | None
    assessed: bool
    not_assessed: str | None
    """Why it is not."""
    surface_class: str | None
    disposition: str | None
    report: str
    """Address of its report."""


class _Picture(Response):
    media_type = "image/jpeg"


_REFUSAL = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
"""JSON, whatever the route answers otherwise."""


def _answers(*refusals: tuple[int, str], **good: Any) -> dict[int | str, dict[str, Any]]:
    """Return the answers of a route: 200, and each refusal with its status."""
    described: dict[int | str, dict[str, Any]] = {200: {"description": "Done.", **good}}
    return described | {status: {"description": why, "content": _REFUSAL} for status, why in refusals}


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_STORE = (503, "The store cannot be read at present.")
_QUERY = (422, "A parameter is wrong; `error` names it.")
_NO_COIL = (404, "No such coil, or no such run of it; `error` says which one was probably meant.")
_LARGE = (503, "The store cannot be read, or the coil has too many defects to make its report on request.")
_UPLOAD = {
    "requestBody": {
        "required": True,
        "description": "JPEG, PNG, BMP or TIFF, as it is or as the first file of a form.",
        "content": {
            "application/octet-stream": _BINARY,
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": _BINARY["schema"]}, "required": ["file"]}
            },
        },
    }
}
_COMMAND = {
    "requestBody": {
        "required": True,
        "description": "What the command takes: "
        + "; ".join(f"`{name}` {kind.summary}" for name, kind in COMMANDS.items())
        + ".",
        "content": {
            "application/json": {
                "schema": {"oneOf": [kind.model.model_json_schema() for kind in COMMANDS.values()]},
            }
        },
    }
}
ROUTES: Mapping[str, dict[str, Any]] = {
    "/": {
        "summary": "The status page, in English or German",
        "response_class": HTMLResponse,
        "responses": _answers(_QUERY),
    },
    "/metrics": {
        "summary": "Metrics for Prometheus",
        "response_class": PlainTextResponse,
        "responses": _answers(),
    },
    "/healthz": {
        "summary": "Health, as it was last judged",
        "response_class": JSONResponse,
        "responses": {
            200: {"description": "The station sees, or says why it need not.", "model": HealthMessage},
            503: {"description": "Blind, or health was not judged for 15 s.", "model": HealthMessage},
        },
    },
    "/api/defects": {
        "summary": "Defect messages, newest first",
        "description": "Filters add up. Where there are more, the header `Link` has the address of the next page "
        '(`rel="next"`). Without a cursor the last moment is always complete: who continues with `before_ms` = its '
        "`timestamp_ms` misses nothing. For this the list may be longer than `limit`.",
        "response_class": JSONResponse,
        "responses": _answers(_QUERY, _STORE, model=list[DefectMessage]),
    },
    "/api/coils": {
        "summary": "Coils that ran, the newest first",
        "description": "Each with its length, what of it was inspected, and where its report is. Where there are more, "
        'the header `Link` has the address of the next page (`rel="next"`).',
        "response_class": JSONResponse,
        "responses": _answers(_QUERY, _STORE, model=list[CoilRow]),
    },
    "/api/coils/{coil_id:path}/report": {
        "summary": "The report of a coil: a page for a browser, JSON for a program, by `Accept`",
        "description": "Of a coil that runs, the report so far: `so_far` is true.",
        "response_class": JSONResponse,
        "responses": _answers(_NO_COIL, _QUERY, _LARGE, model=CoilReport),
    },
    "/api/coils/{coil_id:path}/report.{kind}": {
        "summary": "The same, as `html`, `json` or `csv`: the list of its sections with defects",
        "response_class": JSONResponse,
        "responses": _answers(_NO_COIL, _QUERY, _LARGE, model=CoilReport),
    },
    "/api/coils/{coil_id:path}": {
        "summary": "One coil: its record, and the runs of its name",
        "response_class": JSONResponse,
        "responses": _answers(_NO_COIL, _QUERY, _STORE, model=CoilRow),
    },
    "/defects/{defect_id}": {
        "summary": "One defect, as the `url` of its alarm opens it",
        "response_class": HTMLResponse,
        "responses": _answers((404, "No such defect, or its record is no longer kept."), _STORE),
    },
    "/evidence/{name}": {
        "summary": "The picture of a defect, `DEFECT_ID.jpg`",
        "response_class": _Picture,
        "responses": _answers((404, "No such picture, or it is no longer kept."), _QUERY),
    },
    "/api/classify": {
        "summary": "Classify a picture",
        "response_class": JSONResponse,
        "responses": _answers(
            (403, "A page of another site sent it."),
            (408, "It came too slowly."),
            (413, "It has more bytes or pixels than are taken."),
            (415, "It is of a kind that is not read."),
            (422, "It is no picture, or not a whole one."),
            (503, "Others are being classified; try again."),
            model=ClassifiedPicture,
        ),
        "openapi_extra": _UPLOAD,
    },
    "/api/commands/{name}": {
        "summary": "Carry out a command",
        "response_class": JSONResponse,
        "responses": {
            status: {"description": what, "model": model}
            for status, what, model in (
                (200, "It was carried out.", ReplyMessage),
                (400, "It was not understood.", ReplyMessage),
                (401, "The token is missing or wrong.", Refusal),
                (403, "The station has no token, or a page of another site sent it.", Refusal),
                (404, "There is no such command.", ReplyMessage),
                (409, "It cannot be carried out now.", ReplyMessage),
                (503, "The store refuses.", ReplyMessage),
                ("default", "A fault in inspector; its log has more.", Refusal),
            )
        },
        "openapi_extra": _COMMAND,
    },
}
"""What is said of each route that people and programs use."""


def new_app(endpoints: Mapping[str, tuple[str, Callable[..., Any]]]) -> FastAPI:
    """Return an application with these routes and their description.

    Args:
        endpoints: Method and endpoint by path. What answers GET answers HEAD, too.

    Raises:
        KeyError: A route is not described.
    """
    app = FastAPI(
        title="inspector",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # answered by a route of ours, which refuses strange keys like all others
        redirect_slashes=False,
        dependencies=[Depends(refuse_unknown_keys)],
        generate_unique_id_function=_name_of,
    )
    for path, (method, endpoint) in endpoints.items():
        app.add_api_route(path, endpoint, methods=[method], response_model=None, **ROUTES[path])
        if method == "GET":
            app.add_api_route(path, endpoint, methods=["HEAD"], response_model=None, include_in_schema=False)
    return app


def _name_of(route: APIRoute) -> str:
    return route.name.strip("_")


def render_description(openapi: Mapping[str, Any]) -> str:
    """Return the page that shows a description to people; English, as what it shows is."""
    return (
        templates(FOLDER, CATALOGUE, ENGLISH)
        .get_template("description.html")
        .render(openapi=openapi, style=Markup(STYLE), coded=_coded)  # noqa: S704 - our own file
    )


def _coded(text: str) -> Markup:
    """Return text in which what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped
