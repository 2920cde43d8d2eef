"""The card is proven: what changes any byte of a bundle is refused, or has changed nothing."""

from __future__ import annotations

import json
import os
import random
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import write_bundle, write_card
from spoilt_bundles import TINY, copy_bundle, edit_bundle, flip_bit, rename_labels

from inspector.errors import BundleError
from inspector.labels import UNKNOWN
from inspector.model.bundle import SHIPPED, Bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from inspector.model.golden_tiles import MIN_TILES, hash_rows, read_golden, write_golden

Change = Callable[[dict[str, Any]], object]


def proven(root: Path) -> Bundle:
    """Open a bundle as the daemon does."""
    bundle = load_bundle(root)
    check_golden(Classifier(bundle))
    return bundle


def swap(one: str, other: str) -> Change:
    return lambda card: rename_labels(card, {one: other, other: one})


EDITS = [
    pytest.param(swap("inclusion", "scratches"), "is 'scratches' instead of 'inclusion'", id="labels swapped"),
    pytest.param(lambda card: card["labels"].insert(0, card["labels"].pop()), "decided differently", id="clean first"),
    pytest.param(lambda card: card.update(temperature=999.0), "label is 'unknown'", id="temperature"),
    pytest.param(lambda card: card.update(temperature=card["temperature"] * 1.05), "score is", id="a warmer one"),
    pytest.param(
        lambda card: card.update(thresholds=dict.fromkeys(card["thresholds"], 1.0)), "label is 'unknown'",
        id="thresholds",
    ),
    pytest.param(lambda card: card.update(tile_px=card["tile_px"] // 2), "tile_px is 100", id="tile halved"),
    pytest.param(lambda card: card["unknown"].update(threshold=1e6), "instead of 'unknown'", id="never unknown"),
    pytest.param(lambda card: card["unknown"].update(threshold=0.1), "label is 'unknown'", id="always unknown"),
    pytest.param(lambda card: card.update(unknown=None), "distance is None", id="no rule for unknown"),
    pytest.param(lambda card: card.update(looks=1), "decided differently", id="one look"),
    pytest.param(lambda card: card.update(box_from="tile"), r"box is Box\(x=0, y=0, width=200", id="boxes"),
    pytest.param(lambda card: card["severity"].update(inclusion="minor"), "severity is 'minor'", id="severity"),
    pytest.param(
        lambda card: card["quantization"]["logits"].update(scale=0.0371), "quantization of 'logits'", id="scale"
    ),
    pytest.param(
        lambda card: card["models"][0]["outputs"].update(logits="no"), "no output named 'no'", id="output"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "text"), EDITS)
def test_an_edit_is_refused_though_every_hash_is_right(tmp_path: Path, change: Change, text: str) -> None:
    """The golden tiles' decisions show it: the hashes of files, card and golden tiles have all been made anew."""
    root = copy_bundle(tmp_path / "bundle")
    edit_bundle(root, change, "golden")
    with pytest.raises(BundleError, match=text):
        proven(root)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        *EDITS,
        pytest.param(lambda card: card["metrics"]["official"].update(ece=0.0), "", id="a figure"),
        pytest.param(lambda card: card.update(mm_per_px=0.1), "", id="scale of the picture"),
        pytest.param(lambda card: card["thresholds"].update(inclusion=0.57), "", id="a threshold, by a little"),
        pytest.param(lambda card: card.update(description=""), "", id="where it is from"),
    ],
)
def test_golden_tiles_name_the_card_that_they_were_decided_under(tmp_path: Path, change: Change, text: str) -> None:
    """With the card's own hash made right, an edit of anything is refused before the network is opened."""
    root = copy_bundle(tmp_path / "bundle")
    edit_bundle(root, change, "card")
    with pytest.raises(BundleError, match=text if "tile_px" in text else "decided under another card|needs the arrays"):
        load_bundle(root)


def test_any_flipped_bit_is_refused_or_has_changed_nothing(tmp_path: Path, tiny: Path) -> None:
    """Of every file one bit at a time: each byte of the card, and a hundred places of each other file."""
    root, lots = copy_bundle(tmp_path / "bundle", tiny), random.Random(1)
    whole, outcomes = load_bundle(root), Counter[str]()
    for path in sorted(root.iterdir()):
        size = path.stat().st_size
        places = range(size) if path.name == "card.json" else [lots.randrange(size) for _ in range(100)]
        for place in places:
            bit = 8 * place + lots.randrange(8)
            flip_bit(path, bit)
            try:
                bundle = load_bundle(root)
            except BundleError as exc:
                outcomes["refused" if str(root) in str(exc) else "refused without a name"] += 1
            else:
                assert (path.name, bundle.card, bundle.fingerprint) == ("card.json", whole.card, whole.fingerprint)
                outcomes["harmless"] += 1
            flip_bit(path, bit)

    assert outcomes["refused without a name"] == 0
    assert outcomes["refused"] > 2000
    assert outcomes["harmless"] < 20


def test_layout_is_no_content(tmp_path: Path, tiny: Path) -> None:
    """Order of keys, spaces and escapes change neither what is loaded nor the fingerprint."""
    root = copy_bundle(tmp_path / "bundle", tiny)
    before = load_bundle(root)
    fields = json.loads((root / "card.json").read_text())
    text = json.dumps(dict(reversed(fields.items())), indent=7).replace("tiny", "\\u0074iny")
    (root / "card.json").write_text(text)

    assert (before.card, before.fingerprint) == (load_bundle(root).card, load_bundle(root).fingerprint)


def test_a_changed_network_with_right_hashes_is_refused(tmp_path: Path) -> None:
    """Eighty networks of which one bit is another, hashes of file and card made right: none is taken."""
    root, lots = copy_bundle(tmp_path / "bundle"), random.Random(2)
    model = root / "model.tflite"
    for _ in range(80):
        bit = lots.randrange(8 * model.stat().st_size)
        flip_bit(model, bit)
        edit_bundle(root, lambda card: None, "card")
        with pytest.raises(BundleError, match="decided under another card"):
            load_bundle(root)
        flip_bit(model, bit)


NOT_DRAWN = {"open-fast": ("iron sheet ash", "oxide scale of plate system")}
"""Labels for which no generated tile was found; a station says so at each start."""


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHIPPED.glob("*/card.json")))
def test_shipped_bundles_prove_every_label(name: str) -> None:
    """At least three golden tiles are decided each label, `clean` and `unknown`, but for what the card names."""
    bundle = load_bundle(SHIPPED / name)
    counts = Counter(decision.label for decision in bundle.golden.decisions)
    unreached = bundle.card.golden_unreached

    assert unreached == NOT_DRAWN.get(name, ())
    assert len(bundle.warnings) == bool(unreached)
    assert bundle.card.format == 2
    proven = {*bundle.card.labels, UNKNOWN} - {*unreached}
    assert {label: max(3, MIN_TILES) for label in proven} == {label: counts[label] for label in proven}


def fewer(root: Path) -> None:
    """Leave one tile of `rust`."""
    with np.load(root / "golden.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["label"] = np.where(arrays["label"] == "rust", "crack", arrays["label"])
    np.savez(root / "golden.npz", **arrays)
    write_card(root)


def without(name: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        with np.load(root / "golden.npz") as archive:
            arrays = {key: archive[key] for key in archive.files if key != name}
        np.savez(root / "golden.npz", **arrays)
        write_card(root)

    return damage


def downgrade(root: Path) -> None:
    fields = json.loads((root / "card.json").read_text())
    fields["schema"] = "inspector/bundle/1"
    del fields["sha256"]
    (root / "card.json").write_text(json.dumps(fields))


def bomb(root: Path) -> None:
    """160 MB of zeros that pack into little, under right hashes."""
    header = b"\x93NUMPY\x01\x00"
    described = b"{'descr': '|u1', 'fortran_order': False, 'shape': (160, 1024, 1024), }"
    described += b" " * (117 - len(described)) + b"\n"
    archive = zipfile.ZipFile(root / "golden.npz", "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("tiles.npy", "w") as member:
        member.write(header + len(described).to_bytes(2, "little") + described)
        for _ in range(160):
            member.write(bytes(1 << 20))
    write_card(root)


def text(raw: str) -> Callable[[Path], object]:
    return lambda root: (root / "card.json").write_text(raw)


def said(**fields: Any) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        path = root / "card.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return damage


def special(make: Callable[[Path], object], name: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        (root / name).unlink()
        make(root / name)

    return damage


def terabyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


DEEP: Any = 0
for _ in range(40):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param(downgrade, r"golden\.npz: golden tiles of format 2 under a card of format 1", id="downgraded"),
        pytest.param(said(schema="inspector/bundle/1"), r"sha256 belongs to a card of format 2", id="other format"),
        pytest.param(said(sha256=None), r"sha256 belongs to a card of format 2", id="no hash"),
        pytest.param(said(sha256="0" * 64), r"card\.json: sha256: the card's content is another", id="other hash"),
        pytest.param(said(sha256="x"), r"card\.json: sha256: .*a sha256, 64 of", id="no sha256"),
        pytest.param(fewer, r"golden\.npz: 0 golden tiles are decided 'rust', at least 2", id="a label unproven"),
        pytest.param(without("score"), r"golden\.npz: needs the arrays .*score", id="no scores"),
        pytest.param(without("output_features"), r"needs the arrays .*output_features", id="no features"),
        pytest.param(bomb, r"golden\.npz: needs the arrays .*more than \d+ bytes", id="bomb"),
        pytest.param(text('{"a": 1, "a": 2}'), r"card\.json: not JSON: a key is named twice: 'a'", id="key twice"),
        pytest.param(text('{"a": NaN}'), r"not JSON: a number that is not finite: NaN", id="NaN"),
        pytest.param(text('{"a": 1e999}'), r"not JSON: a number that is not finite: 1e999", id="infinite"),
        pytest.param(text('{"a": ' + "9" * 60), r"not JSON: a number of 60 digits", id="digits"),
        pytest.param(text('\ufeff{"a": 1}'), r"not JSON: ", id="byte order mark"),
        pytest.param(said(metrics={"x": DEEP}), r"not JSON: nested too deep: more than 32", id="deep metrics"),
        pytest.param(said(tile_px="40"), r"card\.json: tile_px: .*integer", id="a number as text"),
        pytest.param(said(tile_px=True), r"card\.json: tile_px: .*integer", id="a truth as number"),
        pytest.param(said(tile_px=10**30), r"card\.json: tile_px: ", id="huge tile"),
        pytest.param(said(temperature=1e9), r"card\.json: temperature: .*less than or equal to 1000", id="hot"),
        pytest.param(said(temperature=0), r"card\.json: temperature: ", id="cold"),
        pytest.param(said(labels=["a\0b", "clean"]), r"card\.json: labels\.0: .*without control characters", id="NUL"),
        pytest.param(said(labels=["x" * 65, "clean"]), r"card\.json: labels\.0: .*1 to 64 characters", id="long label"),
        pytest.param(said(labels=[str(n) for n in range(300)]), r"card\.json: labels: .*256", id="many labels"),
        pytest.param(said(golden="../golden.npz"), r"card\.json: golden: .*a name, not a path", id="golden elsewhere"),
        pytest.param(said(golden="a\0b"), r"card\.json: golden: .*a name, not a path", id="NUL in a name"),
        pytest.param(said(files={"golden.npz": "abc"}), r"card\.json: files\.golden\.npz: .*a sha256", id="short hash"),
        pytest.param(special(os.mkfifo, "golden.npz"), r"golden\.npz: cannot be read: not a regular", id="a pipe"),
        pytest.param(special(os.mkfifo, "card.json"), r"card\.json: cannot be read: not a regular", id="card a pipe"),
        pytest.param(
            special(lambda path: path.symlink_to("/dev/zero"), "model.tflite"),
            r"model\.tflite: cannot be read: not a regular", id="a device",
        ),
        pytest.param(
            special(terabyte, "unknown.npz"),
            r"unknown\.npz: more than \d+ bytes", id="a terabyte",
        ),
    ],
)  # fmt: skip
def test_hostile_bundles_are_refused_by_name(tmp_path: Path, damage: Callable[[Path], object], expected: str) -> None:
    """Without end, without bounds, of another type or kind: one line that names file and key."""
    root = write_bundle(tmp_path / "bundle")
    damage(root)
    with pytest.raises(BundleError, match=expected) as refusal:
        load_bundle(root)
    assert len(str(refusal.value).splitlines()) == 1


def test_further_outputs_are_proven_and_not_read(tmp_path: Path) -> None:
    """A role that this version does not use, as `map`, may be named: its golden output must be there."""
    outputs = {"logits": "logits", "features": "features", "map": "map"}
    root = write_bundle(tmp_path / "bundle", models=[{"role": "main", "file": "model.tflite", "outputs": outputs}])
    with pytest.raises(BundleError, match=r"needs the arrays .*output_map"):
        load_bundle(root)
    with np.load(root / "golden.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(root / "golden.npz", **arrays, output_map=np.zeros((10, 8, 8, 32), np.int8))
    write_card(root, models=[{"role": "main", "file": "model.tflite", "outputs": outputs}])

    assert set(load_bundle(root).golden.outputs) == {"features", "map"}


def test_a_large_output_is_proven_by_a_hash_of_each_tile(tmp_path: Path) -> None:
    """Places of a wide network would be most of a bundle: what is kept of them are hashes, and they are held to."""
    root = copy_bundle(tmp_path / "bundle")
    golden, values = read_golden(root / "golden.npz", load_bundle(root).card), np.ones((24, 14, 14, 96), np.int8)
    write_golden(root / "golden.npz", replace(golden, outputs={**golden.outputs, "far": values}))
    edit_bundle(root, lambda card: card["models"][0]["outputs"].update(far="cam"), "golden")

    found = read_golden(root / "golden.npz", load_bundle(root).card)
    assert "far" not in found.outputs
    assert found.output_sha256["far"].tolist() == hash_rows(values).tolist()
    with pytest.raises(BundleError, match="golden output far does not hold on this machine in tile 0"):
        proven(root)


def test_a_card_of_format_1_is_held_to_what_it_has() -> None:
    """Its golden logits must be exact here, too; that its card is not proven is said."""
    bundle = proven(TINY)

    assert bundle.card.format == 1
    assert "not proven against edits" in bundle.warnings[0]
