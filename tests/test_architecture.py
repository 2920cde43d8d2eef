"""The architecture, as absences: imports follow the data, nothing sleeps, and the daemon never meets TensorFlow."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import inspector
from inspector.telemetry.metrics import Metrics

PACKAGE = Path(inspector.__file__).parent

GROUPS = {
    "ground": "errors clock faults notify frame",
    "look": "labels box inspection model pictures decode strip distance",
    "settings": "settings",
    "tell": "messages track",
    "keep": "store evidence",
    "show": "health metrics ui ui.html ui.page http",
    "sources": "sources sources.base sources.folder sources.camera sources.lines sources.demo",
    "sinks": "sinks sinks.base sinks.mqtt",
    "run": "queues reader pipeline committer",
    "daemon": "daemon",
    "commands": "check probe replay forget bench demo cli __main__",
}
"""All modules of the package; a new one is put where it belongs."""

ALLOWED = {
    "ground": "",
    "look": "labels box inspection model pictures decode strip distance",
    "settings": "ground look",
    "tell": "ground look",
    "keep": "ground look tell",
    "show": "ground look tell keep",
    "sources": "ground look settings",
    "sinks": "ground tell keep show",
    "run": "ground look tell keep show sources",
    "daemon": "ground look settings tell keep show sources sinks run",
    "commands": "ground look settings tell keep show sources sinks run daemon",
}
"""What a group may import besides itself: what lies to its left on the data's way."""

PURE = ("tiling", "preprocess", "distance", "decision", "localize", "inspection", "track")
"""Stations that do no I/O, read no clock, start no thread, and draw no random number."""

IMPURE = {"time", "threading", "socket", "sqlite3", "os", "subprocess", "random", "logging", "structlog", "queue"}

METRICS = [
    "frames_captured_total",
    "frames_total",
    "strip_meters_total",
    "tiles_total",
    "defects_total",
    "alarms_total",
    "alarms_suppressed_total",
    "tile_score",
    "health_state",
    "last_frame_timestamp_seconds",
    "last_inference_timestamp_seconds",
    "last_puback_timestamp_seconds",
    "selftest_last_success_timestamp_seconds",
    "stage_duration_seconds",
    "frame_age_seconds",
    "delivery_duration_seconds",
    "outbox_messages",
    "outbox_bytes",
    "outbox_limit_bytes",
    "outbox_oldest_timestamp_seconds",
    "outbox_lost_total",
    "mqtt_connected",
    "mqtt_connects_total",
    "mqtt_rejected_total",
    "worker_busy_seconds_total",
    "source_wait_seconds_total",
    "workers",
    "config_last_reload_successful",
    "build_info",
    "bundle_info",
    "config_info",
    "station_info",
]
"""The metrics that dashboards and alert rules rely on, without their prefix."""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a module lies"
            names |= {
                f"{node.module}.{alias.name}" if is_module(f"{node.module}.{alias.name}") else str(node.module)
                for alias in node.names
            }
    return names


def is_module(name: str) -> bool:
    place = PACKAGE.parent / name.replace(".", "/")
    return name.startswith("inspector.") and (place.with_suffix(".py").is_file() or (place / "__init__.py").is_file())


FILES = {
    module_name(path): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent != PACKAGE or path.stem != "__init__"
}
IMPORTS = {name: imported(path) for name, path in FILES.items()}
GROUP_OF = {module: group for group, modules in GROUPS.items() for module in modules.split()}


def ours(name: str) -> set[str]:
    """The package's own modules that a module imports, without the package itself (its version)."""
    return {other.removeprefix("inspector.") for other in IMPORTS[name] if other.startswith("inspector.")}


def test_every_module_has_its_place() -> None:
    """Each module of the package stands in exactly one group, and each named module exists."""
    assert set(GROUP_OF) == set(FILES)
    assert sum(len(modules.split()) for modules in GROUPS.values()) == len(GROUP_OF)


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_follow_the_data(name: str) -> None:
    """A module imports from its own group and from the groups to its left, from nowhere else."""
    allowed = {GROUP_OF[name], *ALLOWED[GROUP_OF[name]].split()}

    assert sorted(other for other in ours(name) if GROUP_OF[other] not in allowed) == []


def test_there_are_no_cycles() -> None:
    """Modules can be put in an order in which each imports only earlier ones."""
    order = list(TopologicalSorter({name: ours(name) for name in FILES}).static_order())

    assert set(FILES) == set(order)


@pytest.mark.parametrize("name", PURE)
def test_pure_stations_touch_nothing_outside(name: str) -> None:
    """What decides imports nothing that waits, reads a clock, or touches the machine."""
    assert set() == {other.partition(".")[0] for other in IMPORTS[name]} & IMPURE


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_daemon_is_free_of_training(name: str) -> None:
    """No module of the package imports `training`, TensorFlow, Keras, or a test."""
    foreign = {"training", "tensorflow", "keras", "tests", "fakes", "pytest", "hypothesis"}

    assert set() == {other.partition(".")[0] for other in IMPORTS[name]} & foreign


def test_importing_everything_loads_no_training() -> None:
    """With the command line and every module loaded, a process has met neither `training` nor TensorFlow nor Keras."""
    script = (
        "import importlib, sys\n"
        f"for name in {sorted(set(FILES) - {'__main__'})!r}: importlib.import_module('inspector.' + name)\n"
        "print(sorted({'training', 'tensorflow', 'keras', 'amqtt', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)

    assert (done.stderr, done.stdout) == ("", "[]\n")


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_sleeps(name: str) -> None:
    """Whoever waits waits for something that can end the wait: no module sleeps."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))

    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "sleep"] == []
    assert "time.sleep" not in IMPORTS[name]
    assert not re.search(r"from time import .*sleep", FILES[name].read_text(encoding="utf-8"))


def test_metrics_are_the_table() -> None:
    """Metrics are exactly the table that dashboards rely on, each with the prefix."""
    registry = CollectorRegistry()
    Metrics(registry, ["crack"], {"crack": "minor"})
    names = set()
    for family in registry.collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        names.add(family.name.removesuffix(suffix) + suffix)

    assert {f"inspector_{name}" for name in METRICS} == names


def test_label_values_are_there_from_the_start() -> None:
    """A counter that never counted shows 0, so that a rate over it is 0 and not nothing."""
    registry = CollectorRegistry()
    Metrics(registry, ["crack"], {"crack": "minor"})

    assert registry.get_sample_value("inspector_frames_total", {"outcome": "source_down"}) == 0
    assert registry.get_sample_value("inspector_defects_total", {"label": "crack", "severity": "minor"}) == 0
    assert registry.get_sample_value("inspector_health_state", {"state": "starting"}) == 1
    assert registry.get_sample_value("inspector_tiles_total", {"verdict": "unknown"}) == 0
