"""What is asked for, as every worker on every machine gets it, and what must be the same on all of them."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import inspector
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings
from inspector.station.wiring import OpenModel, open_bundle, track_rules
from inspector.track.rules import TrackRules

NO_STATION = "none"
EXTRA = "pip install 'inspector[ray]'"


@dataclass(frozen=True, slots=True)
class Order:
    """What is inspected, and how.

    Attributes:
        output: Where the tables go.
        config: File of a station, on each machine, or None.
        model: Bundle without a configuration: its name or folder, on each machine.
        tiles: Write a row a tile, too.
    """

    output: str
    config: str | None
    model: str
    tiles: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Prints:
    """What must be the same on every machine, or verdicts could differ.

    Attributes:
        version: Of the program.
        code: Hash of its code, as it lies on this machine.
        bundle: Fingerprint of the bundle.
        reference: Fingerprint of the site's reference, or None.
        config: Fingerprint of the configuration, or None.
    """

    version: str
    code: str
    bundle: str
    reference: str | None
    config: str | None

    def differences(self, other: Prints) -> list[str]:
        """Return what differs, as a person reads it: the other's value first."""
        mine, theirs = asdict(self), asdict(other)
        return [f"{key} {theirs[key]} instead of {mine[key]}" for key in mine if mine[key] != theirs[key]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that is open for an order.

    Attributes:
        settings: Of the station, or those of none.
        model: With one interpreter.
        rules: How inspections become messages.
        station: Name of the partition.
        prints: What must be the same everywhere.
    """

    settings: Settings
    model: OpenModel
    rules: TrackRules
    station: str
    prints: Prints


def open_order(order: Order) -> Opened:
    """Load and prove what an order needs, on this machine, with one interpreter.

    Raises:
        RefusedError: Configuration or bundle is refused.
    """
    with tempfile.TemporaryDirectory(prefix="inspector-archive-") as temporary:
        path = Path(order.config) if order.config is not None else _no_station(Path(temporary), order.model)
        settings = load_settings(path).settings
        one = settings.model_copy(update={"model": settings.model.model_copy(update={"workers": 1})})
        model = open_bundle(one, unit_file=path if order.config is not None else None)
    rules = replace(track_rules(settings, model.bundle, model.rules), frame_messages=True)
    reference = model.rules.decision.reference
    prints = Prints(
        inspector.__version__,
        digest_of_code(Path(inspector.__file__).parent),
        model.bundle.fingerprint,
        None if reference is None else reference.sha256,
        settings.fingerprint() if order.config is not None else None,
    )
    station = settings.station.text if order.config is not None else NO_STATION
    return Opened(settings, model, rules, station, prints)


def digest_of_code(*packages: Path) -> str:
    """Return the SHA-256 over the names and bytes of all modules below these folders."""
    whole = hashlib.sha256()
    for root in packages:
        for path in sorted(root.rglob("*.py")):
            whole.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def _no_station(folder: Path, model: str) -> Path:
    """Write the configuration of no station: the defaults, no reference, and this bundle."""
    path = folder / "none.toml"
    quoted = model.replace("\\", "\\\\").replace('"', '\\"')
    path.write_text(
        f'[station]\nsite = "{NO_STATION}"\nline = "{NO_STATION}"\nname = "{NO_STATION}"\n[source]\nkind = "folder"\n'
        f'path = "{folder}"\n[model]\npath = "{quoted}"\n[store]\npath = "{folder}"\n', "utf-8",
    )  # fmt: skip
    return path
