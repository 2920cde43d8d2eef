"""Damaged and edited bundles, drawn by lot: of each kind in turn, with what has to come of it."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spoilt_bundles import copy_bundle, edit_bundle, flip_bit, rename_labels

Expected = Literal["refused", "taken", "refused unless harmless"]


@dataclass(frozen=True)
class Damage:
    """What was done to a bundle.

    Attributes:
        kind: In a few words.
        expected: `refused unless harmless`: taken only if card and files say what they said.
    """

    kind: str
    expected: Expected = "refused"


def says_the_same(root: Path, good: Path) -> bool:
    """Whether a bundle's card says what the good one's says, and its files are the same bytes; asks no product code."""
    try:
        if any(path.is_symlink() or not path.is_file() or path.stat().st_size > 1 << 24 for path in root.iterdir()):
            return False  # what could not be read to its end
        if json.loads((root / "card.json").read_text("utf-8")) != json.loads((good / "card.json").read_text("utf-8")):
            return False
        names = [path.name for path in good.iterdir() if path.name != "card.json"]
        return all((root / name).read_bytes() == (good / name).read_bytes() for name in names)
    except (OSError, ValueError, RecursionError):
        return False


def damage(root: Path, number: int, lots: random.Random) -> Damage:
    """Damage a good bundle in place, in the way that is this number's turn."""
    return _WAYS[number % len(_WAYS)](root, lots)


def _any_file(root: Path, lots: random.Random) -> Path:
    return lots.choice(sorted(root.iterdir()))


def _card_bit(root: Path, lots: random.Random) -> Damage:
    path = root / "card.json"
    flip_bit(path, lots.randrange(8 * path.stat().st_size))
    return Damage("a bit of the card", "refused unless harmless")


def _file_bit(root: Path, lots: random.Random) -> Damage:
    path = _any_file(root, lots)
    flip_bit(path, lots.randrange(8 * path.stat().st_size))
    return Damage(f"a bit of {path.name}", "refused unless harmless")


def _byte(root: Path, lots: random.Random) -> Damage:
    path = _any_file(root, lots)
    data = bytearray(path.read_bytes())
    at = lots.randrange(len(data))
    data[at] = (data[at] + lots.randrange(1, 256)) % 256
    path.write_bytes(data)
    return Damage(f"a byte of {path.name}", "refused unless harmless")


def _cut(root: Path, lots: random.Random) -> Damage:
    path = _any_file(root, lots)
    os.truncate(path, lots.randrange(path.stat().st_size - 1))
    return Damage(f"{path.name} cut")


def _absent(root: Path, lots: random.Random) -> Damage:
    path = _any_file(root, lots)
    path.unlink()
    if lots.random() < 0.5:
        path.touch()
        return Damage(f"{path.name} empty")
    return Damage(f"{path.name} missing")


def _swapped(root: Path, lots: random.Random) -> Damage:
    one, other = lots.sample(sorted(root.iterdir()), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return Damage(f"{one.name} and {other.name} swapped")


def _leaf(root: Path, lots: random.Random) -> Damage:
    """Change one value somewhere in the card; half of the time with the card's hash made right."""
    hashed: Literal["nothing", "card"] = lots.choice(["nothing", "card"])
    told: list[str] = []

    def change(card: dict[str, Any]) -> None:
        at: Any = card
        keys = ["temperature", "thresholds", "severity", "quantization", "metrics", "training", "data", "description"]
        key: Any = lots.choice([*keys, "version", "created"])
        while isinstance(at[key], dict | list) and at[key]:
            at = at[key]
            key = lots.choice(sorted(at)) if isinstance(at, dict) else lots.randrange(len(at))
        value = at[key]
        told.append(str(key))
        match value:
            case "minor" | "major" | "critical":
                at[key] = {"minor": "major", "major": "critical", "critical": "minor"}[value]
            case bool() | None | dict() | list():
                at[key] = "changed"
            case int() | float():
                at[key] = value * 0.9 + 0.01
            case _:
                at[key] = f"{value}x"

    try:
        edit_bundle(root, change, hashed)
    except ValueError:  # no card any more, so no hash can be made right
        hashed = "nothing"
        edit_bundle(root, change, "nothing")
    return Damage(f"{told[-1]} of the card, hashes made right: {hashed}")


_EDITS: tuple[Callable[[dict[str, Any]], object], ...] = (
    lambda card: rename_labels(card, {"inclusion": "patches", "patches": "inclusion"}),
    lambda card: card["labels"].insert(0, card["labels"].pop()),
    lambda card: card.update(temperature=1000.0),
    lambda card: card.update(thresholds=dict.fromkeys(card["thresholds"], 1.0)),
    lambda card: card.update(tile_px=card["tile_px"] // 2),
    lambda card: card["unknown"].update(threshold=1e6),
    lambda card: card["unknown"].update(threshold=0.01),
    lambda card: card.update(unknown=None),
    lambda card: card.update(looks=1),
    lambda card: card.update(box_from="tile"),
    lambda card: card["severity"].update(scratches="minor"),
    lambda card: card["quantization"]["logits"].update(scale=0.0371),
)


def _edit(root: Path, lots: random.Random) -> Damage:
    """Edit what decides, with every hash made right, the one that binds golden tiles to the card, too."""
    number = lots.randrange(len(_EDITS))
    edit_bundle(root, _EDITS[number], "golden")
    return Damage(f"edit {number}, all hashes made right")


def _network(root: Path, lots: random.Random) -> Damage:
    path = root / "model.tflite"
    for _ in range(lots.choice([1, 4, 16])):
        flip_bit(path, lots.randrange(8 * path.stat().st_size))
    edit_bundle(root, lambda card: None, "card")
    return Damage("another network, hashes of file and card made right")


_HOSTILE = (
    "[" * 200_000, '{"a":' * 5_000, '{"schema": "inspector/bundle/2"}', "[]", "null", "{", "", "\0", '{"a": 1, "a": 2}',
    '{"x": ' + "9" * 5_000 + "}", '{"x": NaN}', '{"x": 1e999}', '{"x": "\\ud800"}', " " * ((1 << 20) + 1),
)  # fmt: skip
_FIELDS: tuple[dict[str, Any], ...] = (
    {"labels": ["a\0b", "clean"]}, {"labels": [["a"], "clean"]}, {"labels": "clean"}, {"tile_px": "200"},
    {"tile_px": 10**30}, {"tile_px": -1}, {"input_px": 1 << 40}, {"temperature": 0}, {"temperature": "1"},
    {"thresholds": []}, {"severity": {"scratches": "grave"}}, {"golden": "../golden.npz"}, {"golden": "a\0b"},
    {"files": {}}, {"files": {"/etc/passwd": "0" * 64}}, {"models": []}, {"looks": 2}, {"schema": "inspector/bundle/1"},
    {"schema": "inspector/bundle/9"}, {"sha256": None}, {"sha256": "0" * 64}, {"unknown": {"file": 7}}, {"more": 1},
)  # fmt: skip


def _hostile(root: Path, lots: random.Random) -> Damage:
    path = root / "card.json"
    if lots.random() < 0.4:
        path.write_text(lots.choice(_HOSTILE), "utf-8")
        return Damage("a card that is none")
    fields = lots.choice(_FIELDS)
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **fields}), "utf-8")
    return Damage(f"a card with {next(iter(fields))} that is none")


def _special(root: Path, lots: random.Random) -> Damage:
    path = _any_file(root, lots)
    path.unlink()
    kind = lots.choice(["pipe", "device", "folder", "loop", "terabyte"])
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case _:
            path.touch()
            os.truncate(path, 1 << 40)
    return Damage(f"{path.name} a {kind}")


def _layout(root: Path, lots: random.Random) -> Damage:
    path = root / "card.json"
    fields = list(json.loads(path.read_text("utf-8")).items())
    lots.shuffle(fields)
    path.write_text(json.dumps(dict(fields), indent=lots.choice([None, 1, 7])), "utf-8")
    return Damage("the card's layout", "taken")


def _foreign(root: Path, lots: random.Random) -> Damage:
    name = lots.choice(["golden.npz", "unknown.npz", "model.tflite"])
    other = copy_bundle(root.with_name(f"{root.name}-other"), "neu-224")
    shutil.copyfile(other / name, root / name)
    shutil.rmtree(other)
    if lots.random() < 0.5:
        edit_bundle(root, lambda card: None, "card")
    return Damage(f"{name} of another bundle")


_WAYS: tuple[Callable[[Path, random.Random], Damage], ...] = (
    _card_bit, _file_bit, _edit, _leaf, _network, _hostile, _card_bit, _byte, _special, _layout, _cut, _absent,
    _swapped, _foreign, _leaf, _card_bit, _edit, _network, _hostile, _file_bit,
)  # fmt: skip
