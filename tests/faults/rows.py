"""The rows of the fault suite, in the order of the table."""

from __future__ import annotations

import importlib

from tests.faults.row import Row

NAMES = (
    "random_kill",
    "syscall_kill",
    "broker_and_station_kill",
    "power_loss",
    "broker_kill",
    "outage",
    "broker_trouble",
    "store_damage",
    "configurations",
    "disk",
    "bundles",
    "mutated_pictures",
    "spoilt_pictures",
    "http_abuse",
    "sigterm",
    "commands",
    "soak",
    "long_soak",
)
"""Each is a module of this folder with a `ROW`."""


def load_row(name: str) -> Row:
    """Return a row by its name."""
    row: Row = importlib.import_module(f"tests.faults.{name}").ROW
    return row
