"""`inspector.model.bundle`: a bundle is taken only when all that its card says holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import LABELS, write_bundle, write_card

from inspector.errors import EXIT_REFUSED, BundleError
from inspector.model.bundle import SHIPPED, find_bundle, load_bundle, read_card

Damage = Callable[[Path], object]


def flip_bit(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edit_card(root: Path, **changes: Any) -> None:
    path = root / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def golden(root: Path, **changes: Any) -> None:
    """Replace arrays of golden.npz, and have the card hold the new hash: only the contents are wrong."""
    arrays = {**np.load(root / "golden.npz"), **changes}
    np.savez(root / "golden.npz", **arrays)
    write_card(root)


def unknown(root: Path, **changes: Any) -> None:
    arrays = {**np.load(root / "unknown.npz"), **changes}
    np.savez(root / "unknown.npz", **arrays)
    write_card(root)


def overwrite(root: Path, name: str, data: bytes) -> None:
    (root / name).write_bytes(data)
    write_card(root)


def one_array(root: Path) -> None:
    np.save(root / "one.npy", np.zeros(3))
    overwrite(root, "golden.npz", (root / "one.npy").read_bytes())


def test_a_whole_bundle_is_taken(tmp_path: Path) -> None:
    """A bundle whose card and files hold is loaded with the arrays in the types that the daemon computes with."""
    bundle = load_bundle(write_bundle(tmp_path))

    assert bundle.card.labels == LABELS
    assert LABELS[:3] == bundle.card.defect_labels
    assert bundle.golden.tiles.shape == (10, 40, 40)
    assert bundle.distance is not None
    assert bundle.distance.spaces[0].means.dtype == np.float64
    assert f"fake@1.0+{bundle.fingerprint[:12]}" == bundle.short


SPACES = [{"name": "texture", "unit_length": [[0, 4], [4, 6]]}, {"name": "certainty", "start": 6}]


def two_spaces(root: Path, **changes: Any) -> None:
    """Have the rule for `unknown` name two spaces: six texture features in two groups, and two logits."""
    arrays = {
        "texture_means": np.ones((5, 6)), "texture_whitening": np.eye(6),
        "certainty_means": np.ones((4, 2)), "certainty_whitening": np.eye(2),
    }  # fmt: skip
    np.savez(root / "unknown.npz", **{**arrays, **changes.pop("arrays", {})})
    rule = {"file": "unknown.npz", "threshold": 1.0, "false_unknown_rate": 0.02, "spaces": SPACES, **changes}
    write_card(root, unknown=rule)


def test_a_rule_of_two_spaces_is_taken(tmp_path: Path) -> None:
    """Each space has its arrays, its place among the features and its groups of length 1."""
    two_spaces(root := write_bundle(tmp_path))
    distance = load_bundle(root).distance

    assert distance is not None
    assert [(space.start, space.size, space.unit_length) for space in distance.spaces] == [
        (0, 6, ((0, 4), (4, 6))),
        (6, 2, ()),
    ]
    assert distance.width == 8


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        pytest.param(
            shutil.rmtree,
            r"model\.path: no bundle \(neu-224, neu-fast, open-fast, or a folder\), cannot read .*card\.json",
            id="no folder",
        ),
        pytest.param(lambda root: (root / "card.json").unlink(), r"cannot read .*card\.json", id="no card"),
        pytest.param(lambda root: (root / "card.json").write_bytes(b"\xff\0"), r"card\.json: not JSON", id="no text"),
        pytest.param(lambda root: (root / "card.json").write_text("[]"), r"card\.json: card: ", id="no object"),
        pytest.param(
            lambda root: (root / "card.json").write_text("[" * 200_000), r"card\.json: not JSON: nested", id="deep card"
        ),
        pytest.param(
            lambda root: (root / "card.json").write_text('{"x": ' + "9" * 5000),
            r"card\.json: not JSON: .*digits",
            id="digits without end",
        ),
        pytest.param(
            lambda root: (root / "card.json").write_text(" " * ((1 << 20) + 1)),
            r"card\.json: more than",
            id="large card",
        ),
        pytest.param(lambda root: (root / "card.json").write_text("{"), r"card\.json: not JSON", id="half a card"),
        pytest.param(lambda root: edit_card(root, schema="other/1"), r"card\.json: schema: ", id="another schema"),
        pytest.param(lambda root: edit_card(root, extra=1), r"card\.json: extra: ", id="unknown key"),
        pytest.param(lambda root: edit_card(root, looks=2), r"card\.json: looks: ", id="two looks"),
        pytest.param(lambda root: edit_card(root, box_from="map"), r"card\.json: box_from: ", id="boxes of what"),
        pytest.param(lambda root: edit_card(root, box_from="cam"), r"box_from cam needs .* output cam", id="no map"),
        pytest.param(lambda root: edit_card(root, tile_px="big"), r"card\.json: tile_px: ", id="ill-typed"),
        pytest.param(lambda root: edit_card(root, thresholds={"crack": 0.5}), r"thresholds must name", id="thresholds"),
        pytest.param(lambda root: edit_card(root, labels=["crack", "crack"]), r"labels must be unique", id="labels"),
        pytest.param(lambda root: edit_card(root, labels=["crack", "unknown"]), r"without 'unknown'", id="unknown"),
        pytest.param(
            lambda root: edit_card(root, labels=["crack", "unclassified"]),
            r"'unclassified' .*: \['crack', 'unclas",
            id="the word for a defect without a class",
        ),
        pytest.param(lambda root: edit_card(root, models=[]), r"card\.json: models: ", id="no model"),
        pytest.param(lambda root: edit_card(root, files={}), r"files lacks the sha256 of", id="no hashes"),
        pytest.param(
            lambda root: edit_card(root, files={**read_card(root)[0].files, "../x": "0"}),
            r"a name, not a path.*'../x'",
            id="a path among the files",
        ),
        pytest.param(
            lambda root: edit_card(root, files={**read_card(root)[0].files, "": "0"}),
            r"a name, not a path.*''",
            id="no name",
        ),
        pytest.param(
            lambda root: (root / "model.tflite").unlink(), r"model\.tflite: cannot be read", id="no model file"
        ),
        pytest.param(
            lambda root: flip_bit(root / "model.tflite"), r"model\.tflite: its sha256 differs", id="model bit"
        ),
        pytest.param(lambda root: flip_bit(root / "golden.npz"), r"golden\.npz: its sha256 differs", id="golden bit"),
        pytest.param(
            lambda root: flip_bit(root / "unknown.npz"), r"unknown\.npz: its sha256 differs", id="unknown bit"
        ),
        pytest.param(lambda root: overwrite(root, "golden.npz", b""), r"golden\.npz: needs the arrays", id="empty"),
        pytest.param(lambda root: overwrite(root, "golden.npz", b"PK\3\4"), r"golden\.npz: needs", id="torn archive"),
        pytest.param(one_array, r"golden\.npz: needs the arrays", id="one array, no archive"),
        pytest.param(
            lambda root: golden(root, tiles=np.array([{}], object)), r"golden\.npz: needs the arrays", id="pickles"
        ),
        pytest.param(
            lambda root: golden(root, logits=np.zeros((10, 9), np.int8)),
            r"golden\.npz: .*\(10, 9\) logits do not belong",
            id="logits of another model",
        ),
        pytest.param(
            lambda root: golden(root, logits=np.zeros((10, 4), np.int32)),
            r"golden\.npz: logits must be int8: int32",
            id="wide logits",
        ),
        pytest.param(
            lambda root: golden(root, tiles=np.zeros((10, 40), np.uint8)),
            r"golden\.npz: \(10, 40\) tiles",
            id="flat tiles",
        ),
        pytest.param(
            lambda root: golden(root, tiles=np.zeros((10, 40, 40))),
            r"golden\.npz: tiles must be uint8",
            id="float tiles",
        ),
        pytest.param(
            lambda root: golden(
                root,
                tiles=np.zeros((0, 40, 40), np.uint8),
                input_sha256=np.zeros(0, "U64"),
                logits=np.zeros((0, 4), np.int8),
            ),
            r"golden\.npz: \(0, 40, 40\) tiles",
            id="no tiles",
        ),
        pytest.param(
            lambda root: unknown(root, whitening=np.eye(7)),
            r"unknown\.npz: means .*: \(4, 8\) and \(7, 7\)",
            id="whitening",
        ),
        pytest.param(
            lambda root: unknown(root, means=np.full((4, 8), np.nan)), r"unknown\.npz: .* finite", id="distances of NaN"
        ),
        pytest.param(
            lambda root: two_spaces(root, spaces=[{"name": "colour"}]),
            r"unknown\.npz: needs the arrays colour_means",
            id="a space without arrays",
        ),
        pytest.param(
            lambda root: two_spaces(root, arrays={"certainty_whitening": np.eye(3)}),
            r"unknown\.npz: certainty_means .*\(4, 2\) and \(3, 3\)",
            id="a space of two shapes",
        ),
        pytest.param(
            lambda root: two_spaces(root, spaces=[{"name": "texture", "unit_length": [[0, 7]]}]),
            r"unknown\.npz: texture_unit_length must lie within 6 features: \(0, 7\)",
            id="a group beyond its space",
        ),
        pytest.param(
            lambda root: two_spaces(root, spaces=[{"name": "../texture"}]),
            r"card\.json: unknown\.spaces\.0\.name",
            id="a space of no name",
        ),
    ],
)
def test_refused(tmp_path: Path, damage: Damage, text: str) -> None:
    """What is missing, foreign, damaged or of the wrong shape is refused with exit code 78, the file named."""
    root = write_bundle(tmp_path / "bundle")
    damage(root)
    with pytest.raises(BundleError, match=text) as refusal:
        load_bundle(root)

    assert refusal.value.exit_code == EXIT_REFUSED
    assert str(root) in str(refusal.value)


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """A bit that flips anywhere in any file but the card is refused by that file's name."""
    root = write_bundle(tmp_path / "bundle")
    random = np.random.default_rng(9)
    for path in sorted(root.glob("*.*")):
        if path.name == "card.json":
            continue
        whole = path.read_bytes()
        for at in random.integers(0, len(whole), 10):
            flip_bit(path, int(at))
            with pytest.raises(BundleError, match=path.name):
                load_bundle(root)
            path.write_bytes(whole)

    assert load_bundle(root).root == root


def test_the_fingerprint_names_every_byte(tmp_path: Path) -> None:
    """The same bundle has the same fingerprint wherever it lies; another card, and so another file, another one."""
    one, two = write_bundle(tmp_path / "one"), write_bundle(tmp_path / "two")
    before = load_bundle(one).fingerprint
    shutil.copytree(one, tmp_path / "copy")
    overwrite(two, "model.tflite", b"another")

    assert before == load_bundle(tmp_path / "copy").fingerprint
    assert before != load_bundle(two).fingerprint


@pytest.mark.parametrize("name", [path.parent.name for path in sorted(SHIPPED.glob("*/card.json"))])
def test_shipped_bundles_hold(name: str) -> None:
    """Every shipped bundle is found by its name and is whole."""
    bundle = load_bundle(find_bundle(name))

    assert name == bundle.card.name


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param("/srv/bundle", Path("/srv/bundle"), id="a path"),
        pytest.param("no-such-bundle", Path("no-such-bundle"), id="a name that is not shipped is a path"),
        pytest.param("..", Path(".."), id="no way up"),
    ],
)
def test_find(asked: str, expected: Path) -> None:
    """Names of shipped bundles stand for their folder; everything else is a path."""
    assert expected == find_bundle(asked)
