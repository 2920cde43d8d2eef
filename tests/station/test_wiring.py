"""From the configuration to the options of broker and listener: nothing is lost or declared twice on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inspector.settings.sections import Settings
from inspector.station.wiring import http_options, jsonl_options, mqtt_options

STATION = {"site": "s" * 64, "line": "l" * 64, "name": "n" * 64}


def settings(**sections: dict[str, Any]) -> Settings:
    return Settings.model_validate({"station": STATION, "source": {"kind": "demo"}, **sections})


@pytest.mark.parametrize(
    ("mqtt", "root", "client_id"),
    [
        pytest.param({}, "inspector/{}/{}/{}", "inspector-{}-{}-{}", id="defaults, of the longest names"),
        pytest.param({"root": "/a/b/"}, "a/b", "a-b", id="a root"),
        pytest.param({"client_id": "me", "window": 3, "tls": False, "host": "broker"}, "inspector/{}/{}/{}", "me",
                     id="other keys"),
    ],
)  # fmt: skip
def test_the_broker_is_reached_as_configured(mqtt: dict[str, Any], root: str, client_id: str) -> None:
    """Every key of `[mqtt]` is an option as it stands; root and client id are filled in from the station's name."""
    configured = settings(mqtt=mqtt)
    own = {"root": root.format(*STATION.values()), "client_id": client_id.format(*STATION.values())}

    assert mqtt_options(configured).model_dump() == configured.mqtt.model_dump() | own


@pytest.mark.parametrize(
    ("jsonl", "path"),
    [
        pytest.param({}, "/store/jsonl", id="defaults"),
        pytest.param({"path": "/lines", "keep_files": 3, "rotate_bytes": 4096}, "/lines", id="every key"),
    ],
)
def test_files_are_written_as_configured(jsonl: dict[str, Any], path: str) -> None:
    """Every key of `[jsonl]` is an option as it stands; the folder lies in the store's unless it is named."""
    configured = settings(jsonl=jsonl)

    assert jsonl_options(configured, Path("/store")).model_dump() == configured.jsonl.model_dump() | {
        "path": Path(path)
    }


def test_the_listener_listens_as_configured(tmp_path: Path) -> None:
    """Every key of `[http]` is an option as it stands, the token is read, and pictures have `[source]`'s limits."""
    (tmp_path / "token").write_text("0123456789abcdef\n")
    configured = settings(
        http={"port": 9110, "token_file": tmp_path / "token", "max_upload_bytes": 2048},
        source={"kind": "demo", "max_frame_px": 5000, "full_scale": 4095},
    )
    options = http_options(configured)

    assert options.model_dump(include=set(type(configured.http).model_fields)) == configured.http.model_dump()
    assert (options.token, options.max_frame_px, options.full_scale) == ("0123456789abcdef", 5000, 4095)
