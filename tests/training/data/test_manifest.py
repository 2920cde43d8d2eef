"""`training.data.manifest`: of these pictures, and undamaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from drawn_pictures import picture

from training.data.dataset import DataSet, load_pixels
from training.data.manifest import count_pictures, read_manifest, write_manifest
from training.data.prepare import build_manifest
from training.errors import DataError
from training.opened import open_data


def test_a_manifest_of_other_pictures_is_refused(small_data: Path, tmp_path: Path) -> None:
    """Pictures added since, and the manifest of another data set: both name the manifest and say what to do."""
    write_manifest(tmp_path / "manifest.json", build_manifest(DataSet(small_data)))
    assert len(open_data(small_data, tmp_path / "manifest.json")[1].pictures) == 108

    root = tmp_path / "data"
    shutil.copytree(small_data, root)
    picture(root / "train" / "images" / "crazing" / "new.jpg")
    picture(tmp_path / "own" / "dent" / "1.png")
    for data, counts in ((root, "has 109, 108 are in both"), (tmp_path / "own", "has 1, 0 are in both")):
        with pytest.raises(DataError) as caught:
            open_data(data, tmp_path / "manifest.json")
        assert str(caught.value).startswith(f"{tmp_path / 'manifest.json'}: ")
        assert "run prepare again" in str(caught.value)
        assert "--manifest" in str(caught.value)
        assert str(caught.value).endswith(f"it has 108 pictures, {data} {counts}")


def test_manifest_survives_and_damage_is_seen(small_data: Path, tmp_path: Path) -> None:
    """What is read is what was written; a changed manifest and a changed picture are refused."""
    manifest = build_manifest(DataSet(small_data))
    write_manifest(tmp_path / "manifest.json", manifest)

    assert read_manifest(tmp_path / "manifest.json") == manifest
    assert count_pictures(manifest)["crazing"]["train"] == 14

    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text.replace('"split": "train"', '"split": "validation"', 1))
    with pytest.raises(DataError, match="damaged"):
        read_manifest(tmp_path / "manifest.json")

    root = tmp_path / "data"
    shutil.copytree(small_data, root)
    picture(root / manifest.pictures[0].path, seed=99)
    with pytest.raises(DataError, match="differ from the manifest"):
        load_pixels(DataSet(root), manifest.pictures[:1])
