"""The references of a station on its disk: read whole or refused by name, replaced at once, and undone."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from references import fake_bundle, leave_candidate, small_reference, small_tiles

from inspector.errors import LessonError, SiteReferenceError
from inspector.model.bundle import sha256_file
from inspector.model.canonical import canonical_sha256
from inspector.teach import durable, files
from inspector.teach.card import Signature
from inspector.teach.files import KeptTiles, accept, load_reference, read_stored, read_tiles, undo, write_candidate

WHO = Signature(by="somebody", at="2026-11-30T13:00:00.000Z")


def taught(folder: Path, *thresholds: float) -> Path:
    for threshold in thresholds:
        leave_candidate(folder, threshold)
        accept(folder, fake_bundle(), WHO)
    return folder


def threshold_now(folder: Path) -> float | None:
    reference = load_reference(folder, fake_bundle())
    return None if reference is None else reference.defect_threshold


def refusal(folder: Path) -> str:
    """Return why the accepted reference is refused, or nothing."""
    try:
        load_reference(folder, fake_bundle())
    except SiteReferenceError as exc:
        return str(exc)
    return ""


def test_an_untaught_station_has_none(tmp_path: Path) -> None:
    """A station that was never taught has no reference, and that is no error; a candidate does not count."""
    assert load_reference(tmp_path / "reference", fake_bundle()) is None

    leave_candidate(tmp_path)

    assert load_reference(tmp_path, fake_bundle()) is None


def test_what_was_accepted_is_read_back(tmp_path: Path) -> None:
    """The reference that counts is the one that was taught, number by number, under the hash of its file."""
    taught(tmp_path, 1.0)
    read, written = load_reference(tmp_path, fake_bundle()), small_reference()

    assert read is not None
    assert (read.sha256, read.defect_threshold, read.unclassified_threshold) == (written.sha256, 1.0, 2.0)
    maps = {"map": np.full((1, 2, 2, 3), 2, np.int8), "map_deep": np.full((1, 1, 1, 2), 9, np.int8)}
    assert read.distance(maps).tolist() == written.distance(maps).tolist()


def test_pixels_are_kept_for_a_refit(tmp_path: Path) -> None:
    """The tiles that it was fitted to lie beside it, with their groups."""
    stored = read_stored(taught(tmp_path, 1.0))
    assert stored is not None
    kept, shown = read_tiles(stored), small_tiles()

    assert (kept.tiles == shown.tiles).all()
    assert (kept.groups == shown.groups).all()


def test_who_let_it_count_is_kept(tmp_path: Path) -> None:
    """Who accepted, when, and what was overridden stands in the file; the hash in messages stays the candidate's."""
    candidate = leave_candidate(tmp_path)
    stored = accept(tmp_path, fake_bundle(), WHO.model_copy(update={"override": "loses 12 points"}))

    assert stored.card.accepted is not None
    assert (stored.card.accepted.by, stored.card.accepted.override) == ("somebody", "loses 12 points")
    assert stored.reference.sha256 == candidate.reference.sha256


def test_another_bundle_is_named(tmp_path: Path) -> None:
    """A reference of another bundle does not count, and both bundles are named."""
    taught(tmp_path, 1.0)

    with pytest.raises(SiteReferenceError, match=r"another bundle than tiny@1\+cccccccccccc.*tiny@1\+bbbb") as caught:
        load_reference(tmp_path, fake_bundle("c" * 64))
    assert caught.value.kind == "bundle"


@pytest.mark.parametrize("name", ["reference.json", "reference.npz"])
def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, name: str) -> None:
    """One flipped bit in any region of a file is refused, with the file's name; only layout in the text may change."""
    path = taught(tmp_path, 1.0) / "accepted" / name
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        path.write_bytes(spoilt)
        if str(path.parent) in refusal(tmp_path):
            continue
        assert name == "reference.json", f"byte {place} was not found"
        assert json.loads(spoilt) == json.loads(whole), f"byte {place} changes the content"


def test_a_flipped_bit_in_the_pixels_is_found(tmp_path: Path) -> None:
    """Pixels that changed are no basis for a refit; the reference itself counts on."""
    stored = read_stored(taught(tmp_path, 1.0))
    assert stored is not None
    path = tmp_path / "accepted" / "tiles.npz"
    path.write_bytes(bytes([*path.read_bytes()[:-700], 1, *path.read_bytes()[-699:]]))

    with pytest.raises(SiteReferenceError, match=r"tiles.npz: cut or changed"):
        read_tiles(stored)
    assert threshold_now(tmp_path) == 1.0


@pytest.mark.parametrize("name", ["reference.json", "reference.npz"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_cut_file_is_named(tmp_path: Path, name: str, share: float) -> None:
    """A file that was cut, where a disk was full or a copy broke off, is refused by its name."""
    path = taught(tmp_path, 1.0) / "accepted" / name
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    with pytest.raises(SiteReferenceError, match=name):
        load_reference(tmp_path, fake_bundle())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A folder without its files is no untaught station: it is a damaged one."""
    (taught(tmp_path, 1.0) / "accepted" / "reference.npz").unlink()

    with pytest.raises(SiteReferenceError, match=r"reference\.npz: cannot be read: No such file"):
        load_reference(tmp_path, fake_bundle())


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a card as somebody does who knows how its hash is made."""
    card = json.loads(path.read_text())
    change(card)
    card["sha256"] = canonical_sha256({key: value for key, value in card.items() if key != "sha256"})
    path.write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda card: card.update(schema="inspector/reference/2"), "schema: this release", id="newer"),
        pytest.param(lambda card: card.update(defect_threshold=0.5), "thresholds", id="another threshold"),
        pytest.param(lambda card: card["spaces"][0].update(depth=4), "shapes", id="another depth"),
        pytest.param(lambda card: card["spaces"].pop(), "", id="a space less"),
        pytest.param(lambda card: card["spaces"][1].update(role="map"), "two spaces", id="a map twice"),
        pytest.param(lambda card: card["spaces"][1].update(role="other"), "mean_other", id="another map"),
        pytest.param(lambda card: card["files"].pop("reference.npz"), "lacks the sha256", id="no hash"),
        pytest.param(lambda card: card.pop("bundle_sha256"), "bundle_sha256", id="no bundle"),
        pytest.param(lambda card: card.update(extra=1), "extra", id="unknown key"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    """A card with a right hash and wrong content is refused, with file and key; a part that is left out is no error."""
    path = taught(tmp_path, 1.0) / "accepted" / "reference.json"
    rewritten(path, change)

    if said:
        with pytest.raises(SiteReferenceError, match=said) as caught:
            load_reference(tmp_path, fake_bundle())
        assert str(tmp_path / "accepted") in str(caught.value)
    else:
        assert threshold_now(tmp_path) == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    """No distance is ever reckoned with numbers that are not finite."""
    accepted = taught(tmp_path, 1.0) / "accepted"
    with np.load(accepted / "reference.npz") as archive:
        arrays = dict(archive)
    arrays["whitening_map"][0, 0] = value
    np.savez(accepted / "reference.npz", **arrays)
    rewritten(
        accepted / "reference.json",
        lambda card: card["files"].update({"reference.npz": sha256_file(accepted / "reference.npz")}),
    )

    with pytest.raises(SiteReferenceError, match="must be finite"):
        load_reference(tmp_path, fake_bundle())


@pytest.mark.parametrize("name", ["reference.json", "reference.npz"])
def test_a_huge_file_is_not_read(tmp_path: Path, name: str) -> None:
    """A file beyond its bound is refused by its size, before a byte of it is read."""
    path = taught(tmp_path, 1.0) / "accepted" / name
    os.truncate(path, files.MAX_BYTES[name] + 1)

    with pytest.raises(SiteReferenceError, match=f"{name}: no file of at most") as caught:
        load_reference(tmp_path, fake_bundle())
    assert caught.value.kind == "bounds"


def test_more_pixels_than_are_kept_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more pixels are written than are read again."""
    monkeypatch.setitem(files.MAX_BYTES, "tiles.npz", 1000)

    with pytest.raises(SiteReferenceError, match="more than 1000 bytes"):
        leave_candidate(tmp_path)
    assert not (tmp_path / "candidate").exists()


def test_undone_twice_is_as_before(tmp_path: Path) -> None:
    """The previous reference counts again; undone once more, the later one does."""
    taught(tmp_path, 0.5, 1.0)

    assert [threshold_now(tmp_path), undo(tmp_path), threshold_now(tmp_path)][::2] == [1.0, 0.5]
    undo(tmp_path)
    assert threshold_now(tmp_path) == 1.0


def test_the_first_teach_in_can_be_undone(tmp_path: Path) -> None:
    """Without a previous reference, undoing leaves the station untaught; and that can be undone."""
    taught(tmp_path, 1.0)

    assert undo(tmp_path) is None
    assert threshold_now(tmp_path) is None
    undo(tmp_path)
    assert threshold_now(tmp_path) == 1.0


def test_nothing_is_accepted_or_undone_where_there_is_nothing(tmp_path: Path) -> None:
    """What is missing is named."""
    with pytest.raises(LessonError, match="no candidate to accept"):
        accept(tmp_path, fake_bundle(), WHO)
    with pytest.raises(LessonError, match="nothing to undo"):
        undo(tmp_path)


def test_a_candidate_for_another_bundle_is_not_accepted(tmp_path: Path) -> None:
    """A candidate whose bundle was replaced meanwhile stays one."""
    leave_candidate(tmp_path)

    with pytest.raises(SiteReferenceError, match="another bundle"):
        accept(tmp_path, fake_bundle("c" * 64), WHO)
    assert read_stored(tmp_path) is None


@pytest.mark.parametrize("what", ["accept", "undo"])
@pytest.mark.parametrize("cut", range(1, 9))
def test_a_power_cut_leaves_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, cut: int) -> None:
    """Wherever accepting or undoing is cut off, the old or the new reference counts afterwards, never none."""
    taught(tmp_path, 0.5, 1.0)
    leave_candidate(tmp_path, 1.5)
    left = [cut]
    original = Path.rename

    class PowerCutError(BaseException):
        pass

    def step(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise PowerCutError

    def rename(self: Path, target: Path) -> Path:
        step()
        moved = original(self, target)
        step()
        return moved

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        cut_off = True
        try:
            accept(tmp_path, fake_bundle(), WHO) if what == "accept" else undo(tmp_path)
            cut_off = False
        except PowerCutError:
            pass

    now = threshold_now(tmp_path)
    assert now in ((1.0, 1.5) if what == "accept" else (1.0, 0.5))
    if not cut_off:
        assert now == (1.5 if what == "accept" else 0.5)
    undo(tmp_path)  # and what was begun is at its end: the next act finds all in order
    assert threshold_now(tmp_path) in (0.5, 1.0, 1.5)


def test_a_full_disk_leaves_what_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills while a candidate is written is named with the file; nothing half-written stays."""
    taught(tmp_path, 1.0)
    left = [2]

    def fsync(_: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left") as caught:
        leave_candidate(tmp_path, 1.5)

    assert str(caught.value.filename).startswith(str(tmp_path / "candidate"))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["accepted"]
    assert threshold_now(tmp_path) == 1.0


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ends a teach-in while it writes leaves what counts, and no half candidate."""
    taught(tmp_path, 1.0)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        leave_candidate(tmp_path, 1.5)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["accepted"]
    assert threshold_now(tmp_path) == 1.0


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """A folder that was being written when its process died is gone with the next candidate."""
    (tmp_path / ".candidate.12345").mkdir()

    leave_candidate(tmp_path)

    assert not (tmp_path / ".candidate.12345").exists()


def test_the_same_numbers_are_the_same_bytes(tmp_path: Path) -> None:
    """Teaching the same again leaves the same reference, under the same hash."""
    one, other = leave_candidate(tmp_path / "one"), leave_candidate(tmp_path / "other")

    assert one.reference.sha256 == other.reference.sha256
    assert (one.folder / "reference.npz").read_bytes() == (other.folder / "reference.npz").read_bytes()


def test_only_one_holds_a_lock(tmp_path: Path) -> None:
    """Who finds a lock held is refused with the reason; when its holder has gone it is free."""
    with (
        durable.held_lock(tmp_path / "lock", wait=False),
        pytest.raises(LessonError, match="another teach-in is running"),
        durable.held_lock(tmp_path / "lock", wait=False, busy="another teach-in is running"),
    ):
        pass
    with durable.held_lock(tmp_path / "lock", wait=False):
        pass


def test_tiles_and_groups_belong_together() -> None:
    """Pixels without the number of their coil are refused where they are put together."""
    with pytest.raises(ValueError, match="groups"):
        KeptTiles(np.zeros((3, 4, 4), np.uint8), np.zeros(2, np.int32), np.zeros(3, np.int32))


def test_extras_lie_beside_a_candidate(tmp_path: Path) -> None:
    """The picture of the strangest tiles lies beside the candidate, and its hash in the card."""
    candidate = leave_candidate(tmp_path)
    stored = write_candidate(
        tmp_path, candidate.card, candidate.reference, small_tiles(), {"strangest.png": b"picture"}
    )

    assert (stored.folder / "strangest.png").read_bytes() == b"picture"
    assert "strangest.png" in stored.card.files
