"""`training.network.train`: interrupted, resumed, and refused where a folder is another run's."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_run import SMALL, Trained

from training.errors import RecipeError
from training.network import train as training_run
from training.network.checkpoint import Rate, replace_weights
from training.network.network import build_network


def test_the_rate_rises_again_where_a_stage_goes_on() -> None:
    """Adam begins anew there; as many steps later as at the beginning, the rate is what it would have been."""

    def rates(done: int) -> list[float]:
        rate, optimizer = Rate(1e-3, "cosine", 100, 4, done), SimpleNamespace(learning_rate=0.0)
        rate.set_model(SimpleNamespace(optimizer=optimizer))
        found = []
        for batch in range(400 - done):
            rate.on_train_batch_begin(batch)
            found.append(optimizer.learning_rate)
        return found

    whole, rest = rates(0), rates(200)

    assert whole[0] == pytest.approx(1e-3 / 50)
    assert rest[0] == pytest.approx(whole[200] / 50)
    assert rest[50:] == whole[250:]


def test_an_interrupted_run_goes_on_to_the_same_weights(trained: Trained, weights: Path, tmp_path: Path) -> None:
    """A run that was stopped after its second epoch ends with the history of one that was not."""
    shutil.copytree(trained.run, tmp_path / "run")
    first = SMALL.changed(stages=SMALL.stages[:2])
    training_run.train(first, trained.course, tmp_path / "short", weights, {"data": trained.manifest.sha256})
    rows = [json.loads(line) for line in (trained.run / "history.jsonl").read_text().splitlines()]

    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert not (trained.run / "best.weights.h5").exists()  # under a falling rate the last weights count
    for name in ("state.weights.h5", "progress.json"):
        shutil.copy(tmp_path / "short" / name, tmp_path / "run" / name)
    (tmp_path / "run" / "history.jsonl").unlink()
    training_run.train(SMALL, trained.course, tmp_path / "run", weights, {"data": trained.manifest.sha256})
    resumed = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in resumed] == [3]
    for run in (trained.run, tmp_path / "run"):
        network = build_network(SMALL, trained.course.labels, None)
        network.load_weights(run / "state.weights.h5")
        loaded = training_run.load_run(run)[2]
        assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), loaded.get_weights(), strict=True))


def test_a_run_of_another_configuration_is_refused(trained: Trained) -> None:
    """A checkpoint is never taken for another recipe's, or other data's."""
    with pytest.raises(RecipeError, match="another configuration, digest, recipe differ"):
        training_run.train(SMALL.changed(seed=2), trained.course, trained.run, None, {"data": trained.manifest.sha256})
    with pytest.raises(RecipeError, match="data differ"):
        training_run.train(SMALL, trained.course, trained.run, None, {"data": "other"})


def test_a_run_is_not_quantized_on_pictures_that_it_was_not_trained_on(trained: Trained) -> None:
    """Other data, or another mill's pictures where it had none, is an error that names the kind and both hashes."""
    training_run.refuse_other_data(trained.run, {"data": trained.manifest.sha256})
    with pytest.raises(RecipeError, match=f"other pictures: data {trained.manifest.sha256}, here other"):
        training_run.refuse_other_data(trained.run, {"data": "other"})
    with pytest.raises(RecipeError, match="other pictures: auxiliary None, here fba9"):
        training_run.refuse_other_data(trained.run, {"data": trained.manifest.sha256, "auxiliary": "fba9"})


def test_weights_are_not_begun_where_they_have_no_room(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 may end the process on a full disk, so the room is asked for first; what was there stays."""
    network = build_network(SMALL, trained.course.labels, None)
    replace_weights(network, tmp_path / "state.weights.h5")
    before = (tmp_path / "state.weights.h5").read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"no room for .* MB of weights") as raised:
        replace_weights(network, tmp_path / "state.weights.h5")

    assert raised.value.errno == errno.ENOSPC
    assert (tmp_path / "state.weights.h5").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
