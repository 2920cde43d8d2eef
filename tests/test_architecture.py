"""The architecture, as a rule: folders are the stations of the data's way, and each imports only those before it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import inspector
from inspector.telemetry.metrics import Metrics

PACKAGE = Path(inspector.__file__).parent
REPOSITORY = PACKAGE.parent
MAP = (REPOSITORY / "ARCHITECTURE.md").read_text("utf-8")
WAYS = {
    "inspector": dict(re.findall(r"^\| `(\w+)/` \| (.+) \|$", MAP, re.MULTILINE)),
    "training": dict(re.findall(r"^\| `training/(\w+)/` \| (.+) \|$", MAP, re.MULTILINE)),
}
"""The folders of each package in the order of the data's way, each with its sentence: the code map."""
DOORS = {"inspector": {"cli", "__main__"}, "training": {"opened", "own", "own_model", "renewal", "judging", "__main__"}}
"""What a person or systemd starts; it may name every folder, and no folder names it."""

IMPURE = {"threading", "socket", "sqlite3", "structlog", "queue", "subprocess", "ai_edge_litert", "tflite_runtime"}
PYDANTIC = "import pydantic\nclass Model(pydantic.BaseModel): value: int"
"""Loads all that pydantic brings: some of it comes with the first model."""
MAX_FLAT = 18
"""Files flat in the package."""
MAX_FILE, MAX_CLASS, MAX_FUNCTION = 400, 250, 80
"""Lines."""

METRICS = [
    "periodic_total",
    "operator_alarms_last_hour",
    "alarms_standing",
    "area_stations",
    "alarm_flood",
    "alarm_flood_seconds_total",
    "sensitivity_ratio",
    "sensitivity_shown_total",
    "sensitivity_found_total",
    "sensitivity_seconds_total",
    "reference_info",
    "reference_accepted_timestamp_seconds",
    "reference_inspected_meters",
    "reference_inspected_pictures",
    "reference_calls",
    "reference_calls_bound",
    "frames_captured_total",
    "looks_left_out_total",
    "frames_total",
    "strip_meters_total",
    "tiles_total",
    "defects_total",
    "alarms_total",
    "alarms_suppressed_total",
    "unclassified_held_back_total",
    "tile_score",
    "health_state",
    "health_info",
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
    "store_set_aside_timestamp_seconds",
    "store_bytes",
    "store_disk_free_bytes",
    "records_pruned_total",
    "files_forgotten_total",
    "outbox_lost_total",
    "mqtt_connected",
    "mqtt_connects_total",
    "mqtt_rejected_total",
    "mqtt_set_aside_messages",
    "mqtt_unheard_total",
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
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


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
    place = REPOSITORY / name.replace(".", "/")
    return name.partition(".")[0] in WAYS and (place.with_suffix(".py").is_file() or (place / "__init__.py").is_file())


MODULES = {
    module_name(path): path
    for package in WAYS
    for path in sorted((REPOSITORY / package).rglob("*.py"))
    if path != REPOSITORY / package / "__init__.py"
}
IMPORTS = {name: imported(path) for name, path in MODULES.items()}
FILES = [name for name in MODULES if name.startswith("inspector.")]
"""The modules of the daemon."""


def ours(name: str) -> set[str]:
    """The modules of its own package that a module imports, without the package itself (its version)."""
    package = name.partition(".")[0]
    return {other for other in IMPORTS[name] if other.startswith(f"{package}.")}


def folder_of(module: str) -> str:
    return module.split(".")[1]


def place_of(module: str) -> int:
    """Where a module stands on the way: the words that all speak before the first folder, the door after the last."""
    package, folder, *rest = module.split(".")
    if folder in DOORS[package]:
        return len(WAYS[package])
    return list(WAYS[package]).index(folder) if rest or folder in WAYS[package] else -1


@pytest.mark.parametrize("package", WAYS)
def test_the_map_is_what_lies_there(package: str) -> None:
    """ARCHITECTURE.md names every folder of the package, and no other, with its sentence."""
    said = {
        path.parent.name: ast.get_docstring(ast.parse(path.read_text("utf-8")))
        for path in (REPOSITORY / package).glob("*/__init__.py")
    }

    assert said == WAYS[package]


def test_few_files_lie_flat() -> None:
    """The way is visible: what lies beside the folders is little."""
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_FLAT


def too_large(package: str) -> dict[str, int]:
    """The lines of every file, class and function of a package that is longer than its bound."""
    found = {}
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        text, name = path.read_text("utf-8"), str(path.relative_to(REPOSITORY))
        if (lines := len(text.splitlines())) > MAX_FILE:
            found[name] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > (MAX_CLASS if isinstance(node, ast.ClassDef) else MAX_FUNCTION):
                    found[f"{name}:{node.name}"] = lines
    return found


@pytest.mark.parametrize("package", ["inspector", "training", "deploy"])
def test_nothing_holds_too_much(package: str) -> None:
    """A person can read any file, class and function in one go: none is longer than its bound."""
    assert too_large(package) == {}


def test_names_of_test_files_are_unique() -> None:
    """Folders of tests are no packages, so pytest refuses two test files of one name."""
    tests = REPOSITORY / "tests"
    commands = {"bench", "faults"}  # folders that run with `python -m`, whose modules are imported by their whole name
    names = Counter(
        path.name
        for path in tests.rglob("*.py")
        if path.stem != "conftest" and (path.parent.name not in commands or path.stem.startswith("test_"))
    )

    assert {name: count for name, count in names.items() if count > 1} == {}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_follow_the_data(name: str) -> None:
    """A module imports from its own folder and from the folders before it, from nowhere else."""
    later = sorted(other for other in ours(name) if place_of(other) > place_of(name))

    assert later == []


def test_there_are_no_cycles() -> None:
    """Modules can be put in an order in which each imports only earlier ones."""
    order = list(TopologicalSorter({name: ours(name) for name in MODULES}).static_order())

    assert set(MODULES) == set(order)


def loaded_by(code: str) -> set[str]:
    """Top-level names of all modules that a process has loaded after this code."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("folder", "brings"),
    [
        pytest.param("inspection", "import numpy", id="inspection"),
        pytest.param("strip", PYDANTIC, id="strip"),
        pytest.param("reports", f"import jinja2.ext\n{PYDANTIC}", id="reports"),
        pytest.param("track", PYDANTIC, id="track"),
    ],
)
def test_what_decides_touches_nothing_outside(folder: str, brings: str) -> None:
    """Importing all of a pure folder loads nothing that waits, talks or stores, but what NumPy or pydantic brings."""
    modules = [name for name in FILES if folder_of(name) == folder]

    assert (loaded_by(f"import {', '.join(modules)}") - loaded_by(brings)) & IMPURE == set()


@pytest.mark.parametrize(("folder"), ["inspection", "strip", "track", "reports"])
def test_what_decides_reads_no_clock(folder: str) -> None:
    """No module of a pure folder names a clock, the machine, chance or a log."""
    names = {"time", "os", "random", "logging"} | IMPURE
    found = {name: {other.partition(".")[0] for other in IMPORTS[name]} & names for name in FILES}

    assert {name: bad for name, bad in found.items() if bad and folder_of(name) == folder} == {}


def test_sqlite_stays_in_the_store() -> None:
    """No other folder of a station imports SQLite, so none has to know its errors; a consumer has a file of its own."""
    found = {folder_of(name) for name in FILES if "sqlite3" in IMPORTS[name]}

    assert found == {"consume", "store"}


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_daemon_is_free_of_training(name: str) -> None:
    """No module of the package imports `training`, TensorFlow, Keras, or a test."""
    foreign = {"training", "tensorflow", "keras", "tests", "fakes", "pytest", "hypothesis"}

    assert set() == {other.partition(".")[0] for other in IMPORTS[name]} & foreign


def test_the_runtime_is_met_in_one_place() -> None:
    """Daemon and training run models through `model.interpreter`, which finds the runtime; no module imports one."""
    runtimes = {"ai_edge_litert", "tflite_runtime"}
    found = {name: sorted(other for other in IMPORTS[name] if other.partition(".")[0] in runtimes) for name in MODULES}

    assert {name: imports for name, imports in found.items() if imports} == {}


def test_importing_everything_loads_no_training() -> None:
    """With the command line and every module loaded, a process has met neither `training` nor TensorFlow nor Keras."""
    script = (
        "import importlib, sys\n"
        f"for name in {sorted(set(FILES) - {'inspector.__main__'})!r}: importlib.import_module(name)\n"
        "print(sorted({'training', 'tensorflow', 'keras', 'amqtt', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)

    assert (done.stderr, done.stdout) == ("", "[]\n")


def test_commands_load_no_station() -> None:
    """The command line, every command and the demo can be imported without the composition root."""
    modules = [name for name in FILES if folder_of(name) in {"cli", "commands", "demo"}]
    script = f"import sys, {', '.join(modules)}\nprint('inspector.station.station' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)

    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_sleeps(name: str) -> None:
    """Whoever waits waits for something that can end the wait: no module sleeps."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))

    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "sleep"] == []
    assert "time.sleep" not in IMPORTS[name]
    assert not re.search(r"from time import .*sleep", MODULES[name].read_text(encoding="utf-8"))


def test_metrics_are_the_table() -> None:
    """Metrics are exactly the table that dashboards rely on, each with the prefix."""
    registry = CollectorRegistry()
    Metrics(registry, ["crack"], {"crack": "minor"})
    names = set()
    for family in registry.collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        names.add(family.name.removesuffix(suffix) + suffix)

    assert {f"inspector_{name}" for name in METRICS} == names


def test_metrics_are_read_by_object() -> None:
    """A metric's exposed name stands where it is declared and nowhere else: a renamed one is an error, not a 0."""
    metric = re.compile(rf"inspector_({'|'.join(METRICS)})\b")
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and metric.search(node.value)
    }

    assert naming == {"telemetry/metrics.py"}


def test_label_values_are_there_from_the_start() -> None:
    """A counter that never counted shows 0, so that a rate over it is 0 and not nothing."""
    registry = CollectorRegistry()
    Metrics(registry, ["crack"], {"crack": "minor"})

    assert registry.get_sample_value("inspector_frames_total", {"outcome": "source_down"}) == 0
    assert registry.get_sample_value("inspector_defects_total", {"label": "crack", "severity": "minor"}) == 0
    assert registry.get_sample_value("inspector_health_state", {"state": "starting"}) == 1
    assert registry.get_sample_value("inspector_tiles_total", {"verdict": "unknown"}) == 0
