"""`inspector backup` and `restore`: a bare PC continues a station, and no number or id is given to other content."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeClock, entry, write_bundle

from inspector.commands.backup import back_up
from inspector.commands.restore import restore
from inspector.errors import ConfigError, StoreError
from inspector.model.bundle import find_bundle
from inspector.store.entries import OutboxRow
from inspector.store.set_aside import SetAside
from inspector.store.store import Store

SINK = "mqtt"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A station with a bundle of its own, a secret, and references; a teach-in is under way."""
    (tmp_path / "state" / "evidence").mkdir(parents=True)
    (tmp_path / "state" / "evidence" / "a.jpg").write_bytes(b"picture")
    (tmp_path / "state" / "reference").mkdir()
    for name in ("accepted/reference.npz", "previous/reference.npz", ".begun.json", "teach-in.tiles", ".accepted.7/x"):
        (tmp_path / "state" / "reference" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "state" / "reference" / name).write_bytes(b"taught")
    (tmp_path / "secret").write_text("hunter2\n")
    write_bundle(tmp_path / "own-1.0")
    path = tmp_path / "etc" / "cam1.toml"
    path.parent.mkdir()
    path.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\n'
        f'[model]\npath = "{tmp_path}/own-1.0"\n[store]\npath = "{tmp_path}/state"\n'
        f'[mqtt]\nusername = "s/l/n"\npassword_file = "{tmp_path}/secret"\n'
    )
    return path


@pytest.fixture
def store(config: Path, clock: FakeClock) -> Iterator[Store]:
    """It runs: three stills are committed, one is delivered."""
    store = Store(config.parents[1] / "state", clock)
    store.outbox.enable([SINK])
    for number in range(3):
        store.commit([entry(number, "crack")])
    store.outbox.acknowledge(SINK, 3)
    store.notes.next_epoch()
    store.database.set_meta("mqtt_life", '{"base": 9, "reached": 4}')
    SetAside(store.database, clock, SINK).add(store.outbox.pending(0, 1)[0], "too long")
    yield store
    store.close()


def lose_pc(config: Path) -> None:
    """Nothing is left but the package."""
    for name in ("state", "etc", "own-1.0"):
        shutil.rmtree(config.parents[1] / name)
    (config.parents[1] / "secret").unlink()


def waiting(store: Store) -> list[OutboxRow]:
    return store.outbox.pending(store.outbox.cursor(SINK), 99)


def test_a_bare_pc_continues_the_station(config: Path, store: Store, clock: FakeClock, tmp_path: Path) -> None:
    """Configuration, bundle, evidence, what this release does not know, and the store come back; secrets are named."""
    original = config.read_text()
    made = back_up(config, tmp_path / "cam1.tar.gz")
    store.close()
    lose_pc(config)
    done = restore(tmp_path / "cam1.tar.gz", config.parent)
    again = Store(tmp_path / "state", clock)
    again.outbox.enable([SINK])
    rows = waiting(again)
    refused = SetAside(again.database, clock, SINK).next_to_try(1 << 50)
    epoch, life = again.notes.next_epoch(), again.database.meta("mqtt_life")
    finished = [again.ledger.find(f"{number}.jpg") is not None for number in range(3)]
    again.close()

    assert config.read_text() == original
    assert find_bundle(str(tmp_path / "own-1.0")).is_dir()
    assert (tmp_path / "state" / "evidence" / "a.jpg").read_bytes() == b"picture"
    references = tmp_path / "state" / "reference"
    assert {path.relative_to(references).as_posix() for path in references.rglob("*") if path.is_file()} == {
        "accepted/reference.npz", "previous/reference.npz", ".begun.json",
    }  # fmt: skip
    assert [json.loads(row.payload)["seq"] for row in rows] == [4, 5, 6, 7, 8, 9]
    assert {json.loads(row.payload)["store_id"] for row in rows} == {store.store_id}
    assert refused is not None
    assert refused.seq < 0  # never mixed with the new store's numbers
    assert life is None  # it counts in the old numbers
    assert (again.store_id != store.store_id, epoch > 1, finished) == (True, True, [True, True, True])
    assert made.secrets == done.missing == (f"mqtt.password_file: {tmp_path}/secret",)
    assert (made.messages, made.pictures) == (9, 1)


def test_nothing_is_delivered_twice_under_another_id(
    config: Path, store: Store, clock: FakeClock, tmp_path: Path
) -> None:
    """What was inspected and delivered after the backup comes again under the ids it had; no number is used again."""
    back_up(config, tmp_path / "cam1.tar")
    seen = {row.seq: json.loads(row.payload)["id"] for row in store.outbox.pending(0, 99)}
    for number in (3, 4):
        seen |= {body.seq: body.id for body in store.commit([entry(number, "crack")])}
    first = store.store_id
    store.close()
    lose_pc(config)
    restore(tmp_path / "cam1.tar", config.parent)
    again = Store(tmp_path / "state", clock)
    again.outbox.enable([SINK])
    for number in range(5):
        again.commit([entry(number, "crack")])
    messages = [json.loads(row.payload) for row in waiting(again)]
    again.close()

    assert {message["id"] for message in messages} <= set(seen.values())
    assert all(seen[message["seq"]] == message["id"] for message in messages if message["store_id"] == first)
    assert [message["seq"] for message in messages if message["store_id"] != first] == list(range(1, 7))


def test_the_manifest_names_every_file_with_its_hash(config: Path, store: Store, tmp_path: Path) -> None:
    """Also those that this release knows nothing of; secrets are in the archive only when asked for."""
    back_up(config, tmp_path / "a.tar.gz")
    back_up(config, tmp_path / "b.tar.xz", with_secrets=True)
    manifests = []
    for name in ("a.tar.gz", "b.tar.xz"):
        with tarfile.open(tmp_path / name) as tar:
            file = tar.extractfile("manifest.json")
            assert file is not None
            manifests.append(json.load(file))
            assert sorted(tar.getnames()) == sorted(["manifest.json", *(row["name"] for row in manifests[-1]["files"])])
    names = [{row["name"] for row in manifest["files"]} for manifest in manifests]

    assert {
        "station.toml",
        "state/inspector.sqlite3",
        "state/evidence/a.jpg",
        "state/reference/accepted/reference.npz",
    } < names[0]
    assert {"bundle/card.json", "bundle/model.tflite"} < names[0]
    assert names[1] - names[0] == {"secrets/mqtt.password_file"}
    assert (tmp_path / "a.tar.gz").stat().st_mode & 0o777 == 0o600


def test_a_stopped_station_is_backed_up_without_a_trace(config: Path, store: Store, tmp_path: Path) -> None:
    """Nothing is written beside a store that no station holds."""
    store.close()
    before = sorted(path.name for path in store.folder.iterdir())
    made = back_up(config, tmp_path / "cam1.tar")

    assert sorted(path.name for path in store.folder.iterdir()) == before
    assert made.messages == 9


def test_what_is_there_is_not_replaced(config: Path, store: Store, clock: FakeClock, tmp_path: Path) -> None:
    """A store in use, a store, and another configuration are refused; with `force` a store is set aside."""
    back_up(config, tmp_path / "cam1.tar")
    with pytest.raises(StoreError, match="holds a store already"):
        restore(tmp_path / "cam1.tar", config.parent)
    with pytest.raises(StoreError, match="in use: stop its station first"):
        restore(tmp_path / "cam1.tar", config.parent, force=True)
    store.close()
    done = restore(tmp_path / "cam1.tar", config.parent, force=True)
    again = Store(tmp_path / "state", clock)
    again.close()

    assert again.store_id == done.store_id
    assert (tmp_path / "state" / "inspector.sqlite3.aside-restored-1").is_file()


@pytest.mark.parametrize("harm", ["cut", "flipped", "foreign", "absent"])
def test_a_damaged_archive_changes_nothing(config: Path, store: Store, tmp_path: Path, harm: str) -> None:
    """It is refused before anything is put in its place."""
    archive = tmp_path / "cam1.tar"
    back_up(config, archive)
    store.close()
    lose_pc(config)
    data = bytearray(archive.read_bytes())
    if harm == "cut":
        archive.write_bytes(data[: len(data) // 2])
    elif harm == "flipped":
        data[data.index(b"SQLite format 3") + 5000] ^= 1
        archive.write_bytes(data)
    elif harm == "foreign":
        archive.write_text("no archive")
    else:
        archive.unlink()
    with pytest.raises((StoreError, ConfigError)):
        restore(archive, config.parent)

    assert not (tmp_path / "state").exists()
    assert not config.exists()


def test_a_strange_name_is_refused(config: Path, store: Store, tmp_path: Path) -> None:
    """The name says how the archive is packed."""
    with pytest.raises(ConfigError, match="a name that ends in"):
        back_up(config, tmp_path / "cam1.zip")
