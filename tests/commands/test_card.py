"""`inspector card`: a bundle is proven anew from itself alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from spoilt_bundles import TINY, copy_bundle, edit_bundle, flip_bit, rename_labels

from inspector.commands.card import prove_card
from inspector.errors import BundleError
from inspector.model.bundle import load_bundle
from inspector.model.pool import open_model

pytestmark = pytest.mark.timeout(120)


def test_format_1_becomes_format_2(tmp_path: Path) -> None:
    """In place: the network and all that is not proof stay bit for bit, the card says what it said, and is proven."""
    root = copy_bundle(tmp_path / "bundle", TINY)
    before = load_bundle(root)
    proven = prove_card(str(root))
    after = load_bundle(root)
    pool, golden = open_model(after, 1)
    pool.close()

    assert proven.written
    assert (before.card.format, after.card.format, golden.tiles) == (1, 2, proven.tiles)
    for name in ("model.tflite", "unknown.npz"):
        assert (TINY / name).read_bytes() == (root / name).read_bytes()
    changed = {"schema_", "files", "sha256"}
    assert before.card.model_dump(exclude=changed) == after.card.model_dump(exclude=changed)
    assert after.warnings == ()
    assert not prove_card(str(root)).written
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_same_bundle_gives_the_same_proof(tmp_path: Path) -> None:
    """Golden tiles and card are the same bytes, wherever and whenever they are written."""
    for name in ("one", "two"):
        prove_card(str(TINY), tmp_path / name)

    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_an_edit_is_proven_only_when_asked_for(tmp_path: Path) -> None:
    """A card edited on purpose is refused with how to go on, and then proven as it lies there."""
    root = copy_bundle(tmp_path / "bundle", TINY)
    prove_card(str(root))
    edit_bundle(root, lambda card: card["severity"].update(patches="critical"), "nothing")
    with pytest.raises(BundleError, match=r"sha256: .*--accept proves the bundle as it lies there"):
        prove_card(str(root))
    prove_card(str(root), accept=True)

    assert load_bundle(root).card.severity["patches"] == "critical"


def test_labels_that_nothing_draws_are_found(tmp_path: Path) -> None:
    """For a user's own label tiles are changed until the network says it; golden tiles prove it all the same."""
    root = copy_bundle(tmp_path / "bundle", TINY)
    edit_bundle(root, lambda card: rename_labels(card, {"inclusion": "oil stain", "patches": "Kratzer"}), "nothing")
    proven = prove_card(str(root))
    labels = [decision.label for decision in load_bundle(root).golden.decisions]

    assert proven.card.golden_unreached == ()
    assert {label: labels.count(label) for label in ("oil stain", "Kratzer", "clean", "unknown")} == dict.fromkeys(
        ("oil stain", "Kratzer", "clean", "unknown"), 3
    )


def test_a_label_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    """No score is high under such a temperature: the card lists the labels, and whoever opens it is told."""
    root = copy_bundle(tmp_path / "bundle", TINY)
    edit_bundle(
        root, lambda card: card.update(temperature=500.0, thresholds={"inclusion": 1, "patches": 0.1}), "nothing"
    )
    prove_card(str(root))

    assert load_bundle(root).card.golden_unreached == ("inclusion", "clean")
    assert "no golden tile proves inclusion, clean" in load_bundle(root).warnings[0]


def test_what_cannot_be_opened_is_left_as_it_is(tmp_path: Path) -> None:
    """A network that no longer runs is refused, accepted or not, and nothing is replaced."""
    root = copy_bundle(tmp_path / "bundle", TINY)
    (root / "model.tflite").write_bytes(b"no network")
    before = {path.name: path.read_bytes() for path in root.iterdir()}
    for accept in (False, True):
        with pytest.raises(BundleError, match=r"model\.tflite"):
            prove_card(str(root), accept=accept)

    assert before == {path.name: path.read_bytes() for path in root.iterdir()}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "picture.png").write_bytes(b"")
    with pytest.raises(BundleError, match="something else than a bundle"):
        prove_card(str(TINY), tmp_path / "other")


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    """One line, or JSON; 78 for a bundle that does not hold. Neither TensorFlow nor training is imported."""
    script = (
        "import sys; from inspector.cli import app; app(sys.argv[1:], standalone_mode=False);"
        "assert not {'tensorflow', 'keras', 'training'} & set(sys.modules)"
    )
    root = copy_bundle(tmp_path / "bundle", TINY)
    done = subprocess.run(
        [sys.executable, "-c", script, "card", str(root), "--json"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["schema"], row["written"], row["unreached"]) == ("inspector/bundle/2", True, [])
    flip_bit(root / "unknown.npz", 99)
    refused = subprocess.run(
        [sys.executable, "-m", "inspector", "card", str(root)], capture_output=True, text=True, check=False
    )
    assert (refused.returncode, "unknown.npz: its sha256 differs" in refused.stderr) == (78, True)
