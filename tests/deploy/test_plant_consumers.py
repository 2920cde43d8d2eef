"""Telegraf's configuration and Node-RED's flow against real messages of the real daemon."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from monitors import find_program
from peers import Broker, Daemon, Listener, free_port, wait_for
from secured import CAM, SecuredBroker, secured_station

from inspector.messages import schema_file

REPOSITORY = Path(__file__).resolve().parent.parent.parent
INTEGRATIONS = REPOSITORY / "deploy/integrations"
TELEGRAF: dict[str, Any] = tomllib.loads((INTEGRATIONS / "telegraf/inspector.conf").read_text(encoding="utf-8"))
INPUTS: dict[str, Any] = {entry["topics"][0].rpartition("/")[2]: entry for entry in TELEGRAF["inputs"]["mqtt_consumer"]}
FLOW: list[dict[str, Any]] = json.loads((INTEGRATIONS / "node-red/inspector.json").read_text(encoding="utf-8"))
FRAMES_TOO = "[events]\nframe_messages = true\n"

_JSON_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "string": "string"}
_PYTHON_TYPES: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "bool": bool, "string": str}


def schema_of(topic: str) -> dict[str, Any]:
    """The JSON Schema that ships with the package."""
    text = (REPOSITORY / "inspector/schemas" / schema_file(topic)).read_text(encoding="utf-8")
    return dict(json.loads(text))


def declared(topic: str, path: str) -> set[str]:
    """JSON types that a path of a message may have; empty: there is no such path."""
    schema = schema_of(topic)
    part: dict[str, Any] = schema
    for key in path.split("."):
        part = part.get("properties", {}).get(key, {})
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    kinds = part.get("anyOf", [part])
    return {str(kind.get("type", "string" if "enum" in kind else "")) for kind in kinds} - {""}


def rows(topic: str, message: dict[str, Any]) -> tuple[str, dict[str, str], dict[str, Any], int | None]:
    """What Telegraf's json_v2 makes of a message: measurement, tags, fields, time in ns; nulls are left out."""
    (parser,) = INPUTS[topic]["json_v2"]

    def dig(path: str) -> Any:
        value: Any = message
        for key in path.split("."):
            value = value[key]
        return value

    def name(entry: dict[str, str]) -> str:
        return entry.get("rename", entry["path"].rpartition(".")[2])

    tags = {name(entry): str(dig(entry["path"])) for entry in parser["tag"]}
    fields = {
        name(entry): _PYTHON_TYPES[entry["type"]](dig(entry["path"]))
        for entry in parser["field"]
        if dig(entry["path"]) is not None
    }
    at_ns = dig(parser["timestamp_path"]) * 1_000_000 if "timestamp_path" in parser else None
    return parser["measurement_name"], tags, fields, at_ns


@pytest.mark.parametrize("topic", ["defect", "frame", "health"])
def test_telegraf_asks_for_what_the_schemas_promise(topic: str) -> None:
    """Every path exists and has the type it is given; no two columns share a name; tags are never null or ids."""
    (parser,) = INPUTS[topic]["json_v2"]
    columns = [entry.get("rename", entry["path"].rpartition(".")[2]) for entry in parser["tag"] + parser["field"]]

    assert len(columns) == len(set(columns))
    for entry in parser["field"]:
        assert declared(topic, entry["path"]) - {"null"} == {_JSON_TYPES[entry["type"]]}, entry["path"]
    for entry in parser["tag"]:
        assert declared(topic, entry["path"]) == {"string"}, entry["path"]
        assert not entry["path"].endswith("id"), entry["path"]
    if "timestamp_path" in parser:
        assert declared(topic, parser["timestamp_path"]) == {"integer"}
        assert parser["timestamp_format"] == "unix_ms"


def test_no_variable_of_a_consumer_stops_a_station_on_the_same_machine() -> None:
    """A station refuses every INSPECTOR_ variable that it does not know."""
    for path in INTEGRATIONS.rglob("*"):
        assert path.is_dir() or not re.search(r"INSPECTOR_\w", path.read_text(encoding="utf-8")), path.name


def test_telegraf_has_a_durable_session_of_its_own_for_each_topic_and_no_secret() -> None:
    ids = [entry["client_id"] for entry in INPUTS.values()]

    assert len(ids) == len(set(ids))
    assert all(entry["qos"] == 1 for entry in INPUTS.values())
    assert all(entry["password"].startswith("${") for entry in INPUTS.values())
    assert INPUTS["defect"]["persistent_session"] is INPUTS["frame"]["persistent_session"] is True


@pytest.mark.real
@pytest.mark.timeout(120)
def test_real_messages_become_rows_that_are_all_different(
    plain_broker: Broker, make_station: Callable[..., Daemon]
) -> None:
    """Each message of the daemon gives a row; a repeated one falls on its own, two of one moment do not."""
    listener = Listener(plain_broker.port)
    station = make_station("cam", free_port(), plain_broker.port, 'kind = "demo"\nspeed_m_s = 0.5', FRAMES_TOO)
    station.start()
    try:
        listener.wait(
            lambda: listener.count("defect") > 30 and listener.count("frame") > 30 and listener.count("health") > 0,
            "messages of the daemon",
        )
    finally:
        listener.close()
        station.end()
    (processor,) = TELEGRAF["processors"]["starlark"]
    starlark: dict[str, Any] = {}
    exec(processor["source"], starlark)  # noqa: S102 - Starlark is a subset of Python

    for topic in ("defect", "frame"):
        messages = listener.of(topic)
        keys = set()
        for message in messages:
            measurement, tags, fields, at_ns = rows(topic, message)
            assert measurement in processor["namepass"]
            metric = SimpleNamespace(time=at_ns, fields=fields)
            moved = starlark["apply"](metric).time
            assert moved // 1_000_000 == message["timestamp_ms"]
            keys.add((moved, tuple(sorted(tags.items()))))
            assert fields
        assert len(keys) == len(messages)
    last = json.loads(next(payload for name, payload in listener.messages if name.endswith("/health")))
    measurement, tags, fields, at_ns = rows("health", last)
    assert measurement not in processor["namepass"]
    assert tags == {"station": "test/line/cam"}
    assert {"state", "since", "valid_until"} <= set(fields)
    assert at_ns is None


# --- Node-RED ---------------------------------------------------------------------------------------------------------


def test_the_flow_names_only_nodes_that_it_has_and_holds_no_secret() -> None:
    ids = {node["id"] for node in FLOW}

    assert len(ids) == len(FLOW)
    for node in FLOW:
        assert {target for wires in node.get("wires", []) for target in wires} <= ids
        assert "credentials" not in node
    inputs = {node["topic"]: node["broker"] for node in FLOW if node["type"] == "mqtt in"}
    topics = ("coverage", "defect", "frame", "health", "status")
    assert inputs == {f"inspector/+/+/+/{topic}": "inspector-broker" for topic in topics}


_RUN_FUNCTION = """
const {func, messages} = JSON.parse(require('fs').readFileSync(0));
const kept = {}, context = {get: (key) => kept[key], set: (key, value) => { kept[key] = value; }};
const one = new Function('msg', 'context', 'Date', func);
console.log(JSON.stringify(messages.map(({at, ...msg}) => {
    const given = one(msg, context, {parse: Date.parse, now: () => Date.parse(at)});
    return Array.isArray(given) ? given[0] : given === null ? [] : [given];
})));
"""


def run_function(name: str, messages: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """What a function node of the flow sends for each message; `at` is the time at which it comes."""
    node = find_program("node", "nodejs")
    (func,) = [one["func"] for one in FLOW if one["id"] == name]
    ran = subprocess.run(
        [node, "-e", _RUN_FUNCTION], input=json.dumps({"func": func, "messages": messages}), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return [[dict(one) for one in sent] for sent in json.loads(ran.stdout)]


@pytest.mark.real
def test_node_red_takes_a_station_that_falls_silent_for_blind_though_nothing_comes_any_more() -> None:
    """Each tick looks at the last health of every station; a silent one is told once, until it speaks again."""

    def health(station: str, at: str, valid_until: str) -> dict[str, Any]:
        payload = {"state": "ok", "reason": None, "valid_until": f"2026-03-01T12:00:{valid_until}Z"}
        return {"at": f"2026-03-01T12:00:{at}Z", "topic": f"inspector/s/l/{station}/health", "payload": payload}

    def tick(at: str) -> dict[str, Any]:
        return {"at": f"2026-03-01T12:00:{at}Z", "payload": 0}

    sent = run_function(
        "inspector-fresh",
        [health("a", "00", "15"), health("b", "02", "17"), tick("05"), health("b", "12", "27"), tick("16"), tick("21"),
         health("a", "22", "37"), tick("26"), health("c", "30", "20")],
    )  # fmt: skip

    seen = [[(one["topic"].split("/")[3], one["payload"]["state"]) for one in told] for told in sent]
    assert seen == [
        [("a", "ok")], [("b", "ok")], [], [("b", "ok")], [("a", "blind")], [], [("a", "ok")], [],
        [("b", "blind"), ("c", "blind")],
    ]  # fmt: skip
    assert sent[4][0]["payload"]["reason"] == "silent: no word since 2026-03-01T12:00:15Z"


@pytest.mark.real
def test_node_red_drops_repeats_and_no_status() -> None:
    """The same id is the same message; `online` after `offline` after `online` is news each time."""
    now = {"at": "2026-03-01T12:00:00Z"}
    sent = run_function(
        "inspector-once",
        [
            {**now, "payload": payload}
            for payload in ({"id": "1"}, {"id": "1"}, {"id": "2"}, *["online", "offline"] * 2)
        ],
    )

    assert [len(told) for told in sent] == [1, 0, 1, 1, 1, 1, 1]


@pytest.fixture
def secured_broker(tmp_path: Path) -> Iterator[SecuredBroker]:
    find_program("mosquitto", "mosquitto")
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = SecuredBroker(folder)
    yield broker
    broker.end()


@pytest.fixture
def node_red(npm: str, cache_folder: Path) -> Path:
    """Node-RED's entry point, installed once outside of the repository."""
    folder = cache_folder / "node-red-4"
    entry = folder / "node_modules/node-red/red.js"
    if not entry.is_file():
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--prefix", folder, "node-red@4"],
            check=True, capture_output=True,
        )  # fmt: skip
    return entry


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(400)
def test_node_red_writes_each_message_of_the_daemon_once_and_as_the_schema_says(
    tmp_path: Path, node_red: Path, secured_broker: SecuredBroker, make_station: Callable[..., Daemon]
) -> None:
    """The flow as it is in the repository, in Node-RED itself, over TLS with the user `nodered`."""
    node = shutil.which("node")
    assert node is not None
    home, output, port = tmp_path / "node-red", tmp_path / "out" / "inspector.jsonl", free_port()
    home.mkdir()
    shutil.copyfile(INTEGRATIONS / "node-red/inspector.json", home / "flows.json")
    login = {"inspector-broker": {"user": "nodered", "password": "correct horse"}}
    (home / "flows_cred.json").write_text(json.dumps(login))
    (home / "settings.js").write_text(
        f'module.exports = {{flowFile: "flows.json", credentialSecret: false, uiHost: "127.0.0.1", uiPort: {port},'
        ' disableEditor: true, telemetry: {enabled: false}, logging: {console: {level: "info"}}};\n'
    )
    environ = {
        **os.environ, "PLANT_BROKER": "localhost", "PLANT_BROKER_PORT": str(secured_broker.port),
        "PLANT_CA": str(secured_broker.folder / "ca.crt"), "PLANT_OUTPUT": str(output),
    }  # fmt: skip
    log = tmp_path / "node-red.log"
    with log.open("wb") as out:
        running = subprocess.Popen([node, node_red, "-u", home], stdout=out, stderr=out, env=environ)
    station = secured_station(make_station, secured_broker, tmp_path, FRAMES_TOO)

    def written(topic: str) -> list[Any]:
        lines = output.read_text().splitlines() if output.exists() else []
        parsed = [json.loads(line) for line in lines]
        return [line["message"] for line in parsed if line["topic"] == f"inspector/{CAM}/{topic}"]

    try:
        wait_for(lambda: re.search(r"Connected to broker", log.read_text()), f"Node-RED, see {log}", 120)
        station.start()
        wait_for(lambda: len(written("defect")) > 20 and len(written("frame")) > 20, f"lines, see {log}", 90)
        assert station.stop() == 0
        wait_for(lambda: written("health"), "health")
        (seen,) = [written("defect")[0]]
        secured_broker.publish(f"inspector/{CAM}/defect", json.dumps(seen))
        fresh = json.dumps({**seen, "id": "00000000-0000-5000-8000-000000000000"})
        secured_broker.publish(f"inspector/{CAM}/defect", fresh)
        wait_for(lambda: written("defect")[-1]["id"].startswith("00000000"), "the message after the repeated one")
        stale = {**written("health")[-1], "state": "ok", "valid_until": "2020-01-01T00:00:00.000Z"}
        secured_broker.publish(f"inspector/{CAM}/health", json.dumps(stale))
        wait_for(lambda: written("health")[-1]["state"] == "blind", "stale health to be taken for blind")
        soon = datetime.now(UTC) + timedelta(seconds=2)
        dying = {**stale, "valid_until": soon.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        secured_broker.publish(f"inspector/{CAM}/health", json.dumps(dying))
        wait_for(lambda: written("health")[-1]["valid_until"] == dying["valid_until"], "health that is fresh for now")
        wait_for(
            lambda: [health["state"] for health in written("health")[-2:]] == ["ok", "blind"],
            "silence to be taken for blind", 20,
        )  # fmt: skip
        assert written("status")[-1] == "stopped"
        assert _answers(port) is False
    finally:
        running.kill()
        running.wait()

    for topic in ("defect", "frame", "health"):
        checker = jsonschema.Draft202012Validator(schema_of(topic))
        for message in written(topic):
            checker.validate(message)
    ids = [message["id"] for topic in ("defect", "frame") for message in written(topic)]
    assert len(ids) == len(set(ids))
    assert "correct horse" not in log.read_text()


def _answers(port: int) -> bool:
    """Whether an editor is served: a flow that runs on a line PC needs none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
