"""A peer on the same tiles in the same run: PatchCore, which remembers places of good surface, beside the reference.

PatchCore (Roth et al., CVPR 2022) is anomalib's, on MobileNetV2 of width 1.0 with the ImageNet weights of
`DATA/mobilenetv2`, as no weights of its usual backbone are there. It is not a dependency: install anomalib, torch and
h5py beside the extra `training` to run this.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels
from inspector.inspection.predictions import Classify
from inspector.labels import CLEAN
from inspector.model.bundle import Bundle
from inspector.model.pool import open_model
from inspector.model.rules import decision_rules
from inspector.teach.fit import fit_reference
from training.errors import DataError
from training.files import write_json
from training.judge.mills import AIM, AT_ONCE, halve, lesson_of, rank, some
from training.judge.origin import code_and_date
from training.tiles.mills import Mill, load_mill

PEER_TAUGHT, PEER_CLEAN, PEER_MARKED = 100, 500, 500
"""Tiles of a surface: its coreset takes minutes for 100, and its time grows with their square."""
INPUT_PX, CORESET, NEIGHBOURS = 224, 0.01, 9
LAYERS = ("blocks.2", "blocks.4")
"""The stages at an eighth and a sixteenth of the input, as layers 2 and 3 of the usual ResNet."""
WEIGHTS = "mobilenetv2/mobilenet_v2_1.0_no_top.weights.h5"
_Floats = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.intp]


class Peer(Protocol):
    """Something that learns good surface and tells how strange a tile is."""

    def teach(self, mill: Mill, rows: _Rows) -> None:
        """Learn good surface from these tiles."""

    def judge(self, tiles: Sequence[Pixels]) -> _Floats:
        """Return how strange each of these (H, W) uint8 tiles is."""

    def size_mb(self) -> float:
        """Return what it takes, network and memory, in MB."""


class Reference:
    """The reference that `inspector teach` fits, on the bundle's places.

    Args:
        bundle: Gives places.
        classify: Its network.
    """

    def __init__(self, bundle: Bundle, classify: Classify) -> None:
        self._bundle, self._classify = bundle, classify
        self._rules = decision_rules(bundle, {}, {}, record_floor=1.0)

    def teach(self, mill: Mill, rows: _Rows) -> None:
        """Learn good surface from these tiles."""
        lesson = lesson_of(mill, rows, self._classify, self._rules, self._bundle.card.input_px)
        self._reference = fit_reference(lesson, AIM).reference

    def judge(self, tiles: Sequence[Pixels]) -> _Floats:
        """Return the distance of each of these tiles."""
        return self._reference.distance(self._classify(tiles).maps)

    def size_mb(self) -> float:
        """Return what it takes, network and spaces, in MB."""
        spaces = sum(space.mean.nbytes + space.whitening.nbytes for space in self._reference.spaces)
        return (self._bundle.model_path().stat().st_size + spaces) / 1e6


class PatchCore:
    """anomalib's PatchCore on MobileNetV2 with given ImageNet weights.

    Args:
        weights: Keras 3 weights of MobileNetV2 1.0 without head.
        threads: Of torch.

    Raises:
        DataError: anomalib, torch, timm or h5py is not installed, or the file is missing.
    """

    def __init__(self, weights: Path, threads: int) -> None:
        try:
            torch = import_module("torch")
            patchcore = import_module("anomalib.models.image.patchcore.torch_model")
        except ImportError as exc:
            raise DataError(f"peer: needs anomalib and torch, installed beside this program: {exc}") from exc
        torch.set_num_threads(threads)
        self._torch = torch
        self._model = patchcore.PatchcoreModel(
            list(LAYERS), "mobilenetv2_100", pre_trained=False, num_neighbors=NEIGHBOURS
        )
        network = self._model.feature_extractor.feature_extractor
        _same_padding(torch, network)
        load_keras_weights(torch, network, weights)
        self._model.eval()

    def features(self, tiles: Sequence[Pixels]) -> list[npt.NDArray[np.float32]]:
        """Return the maps of the two stages, (N, C, h, w) each."""
        with self._torch.no_grad():
            maps = self._model.feature_extractor(self._input(tiles))
        return [maps[name].numpy() for name in LAYERS]

    def teach(self, mill: Mill, rows: _Rows) -> None:
        """Learn good surface from these tiles."""
        tiles = [mill.tiles[i] for i in rows]
        self._model.train()
        self._model.feature_extractor.eval()
        for start in range(0, len(tiles), AT_ONCE):
            self._model(self._input(tiles[start : start + AT_ONCE]))
        self._torch.manual_seed(1)
        self._model.subsample_embedding(CORESET)
        self._model.eval()

    def judge(self, tiles: Sequence[Pixels]) -> _Floats:
        """Return the score of each of these tiles."""
        with self._torch.no_grad():
            return np.asarray(self._model(self._input(tiles)).pred_score.numpy(), np.float64).ravel()

    def size_mb(self) -> float:
        """Return what it takes, network and memory, in MB."""
        network = sum(each.numel() * 4 for each in self._model.feature_extractor.parameters())
        return float(network + self._model.memory_bank.numel() * 4) / 1e6

    def _input(self, tiles: Sequence[Pixels]) -> Any:
        grey = np.stack([cv2.resize(tile, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA) for tile in tiles])
        scaled = grey.astype(np.float32) / 127.5 - 1  # keras.applications.mobilenet_v2.preprocess_input
        return self._torch.from_numpy(np.repeat(scaled[:, None], 3, axis=1))


def _same_padding(torch: Any, network: Any) -> None:
    """Pad strided layers below and right, as Keras does: the weights learned so."""
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.stride == (2, 2):
            module.padding = (0, 0)
            module.register_forward_pre_hook(lambda _, given: (torch.nn.functional.pad(given[0], (0, 1, 0, 1)),))
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3


def load_keras_weights(torch: Any, network: Any, path: Path) -> None:
    """Fill a timm MobileNetV2 with Keras weights, layer by layer in the order in which both were built.

    Raises:
        DataError: h5py is not installed, the file is missing, or its layers are others.
    """
    try:
        h5py = import_module("h5py")
    except ImportError as exc:
        raise DataError(f"peer: needs h5py, installed beside this program: {exc}") from exc
    if not path.is_file():
        raise DataError(f"peer: no such file: {path}")
    taken = {"conv2d": 0, "depthwise_conv2d": 0, "batch_normalization": 0}
    with h5py.File(path) as file:

        def values(kind: str) -> list[npt.NDArray[np.float32]]:
            number, taken[kind] = taken[kind], taken[kind] + 1
            group = file[f"layers/{kind}{f'_{number}' if number else ''}/vars"]
            return [np.asarray(group[key]) for key in sorted(group)]

        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                deep = module.groups > 1
                (kernel,) = values("depthwise_conv2d" if deep else "conv2d")
                _copy(torch, module.weight, kernel.transpose((2, 3, 0, 1) if deep else (3, 2, 0, 1)), path)
            elif isinstance(module, torch.nn.BatchNorm2d):
                targets = (module.weight, module.bias, module.running_mean, module.running_var)
                for target, value in zip(targets, values("batch_normalization"), strict=True):
                    _copy(torch, target, value, path)


def _copy(torch: Any, target: Any, value: npt.NDArray[np.float32], path: Path) -> None:
    if tuple(target.shape) != value.shape:
        raise DataError(f"peer: {path}: a layer of {tuple(target.shape)} is expected: {value.shape}")
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.ascontiguousarray(value)))


def measure_peer(
    bundle: Bundle, data: Path, names: Sequence[str], output: Path, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the figures of both on surfaces of `training mills`, written to `output` after each.

    Args:
        bundle: It must give places.
        data: Folder that holds the data sets.
        names: Of surfaces.
        output: JSON file; a surface that is there already is kept.
        seed: Of the halves and draws.
        say: Told how far it is.

    Raises:
        DataError: The peer or a set is missing.
    """
    threads = os.cpu_count() or 1
    results: dict[str, Any] = {
        "bundle": f"{bundle.card.name}@{bundle.card.version}",
        "peer": f"PatchCore of anomalib {version('anomalib')}, MobileNetV2 1.0 with ImageNet weights at {INPUT_PX} px,"
        f" stages {' and '.join(LAYERS)}, coreset {CORESET:.0%}, {NEIGHBOURS} neighbours, torch {version('torch')}",
        "protocol": f"taught on at most {PEER_TAUGHT} clean tiles of one half of the groups, judged on at most"
        f" {PEER_CLEAN} clean and {PEER_MARKED} marked tiles of the other; both on {threads} threads, in one process,"
        " one after the other; recall at the score that so many of the judged clean tiles exceed",
        "seed": seed,
        "command": f"python -m training peer --data DATA --bundle {bundle.card.name} --seed {seed}",
        "mills": {},
    }
    if output.is_file():
        before = json.loads(output.read_text("utf-8"))
        if all(before.get(key) == results[key] for key in ("bundle", "peer", "protocol", "seed")):
            results = before
    pool, _ = open_model(bundle, threads, places=True)
    try:
        for name in names:
            if name not in results["mills"]:
                say(f"{name}: begins")
                row = _measure(bundle, pool, data, name, seed, threads)
                results["mills"][name] = row | {"provenance": code_and_date()}
                write_json(output, results)
            say(f"{name}: {results['mills'][name]}")
    finally:
        pool.close()
    return results


def _measure(bundle: Bundle, classify: Classify, data: Path, name: str, seed: int, threads: int) -> dict[str, Any]:
    mill = load_mill(name, data, bundle.card.tile_px)
    clean = np.array([label == CLEAN for label in mill.labels])
    halves, rng = halve(mill, clean, seed), np.random.default_rng((seed, 2))
    taught = some(np.flatnonzero((halves == 0) & clean), PEER_TAUGHT, rng)
    kinds = ((clean, PEER_CLEAN), (~clean, PEER_MARKED))
    rows = np.concatenate([some(np.flatnonzero((halves == 1) & kind), most, rng) for kind, most in kinds])
    peers: dict[str, Peer] = {
        "reference": Reference(bundle, classify), "patchcore": PatchCore(data / WEIGHTS, threads)
    }  # fmt: skip
    groups = [mill.groups[i] for i in rows]
    row = {"taught": len(taught), "clean": int(clean[rows].sum()), "marked": int((~clean[rows]).sum())}
    return row | {who: figures_of(peer, mill, taught, rows, clean[rows], groups) for who, peer in peers.items()}


def figures_of(
    peer: Peer, mill: Mill, taught: _Rows, rows: _Rows, clean: npt.NDArray[np.bool_], groups: list[str]
) -> dict[str, Any]:
    """Return what a peer that is taught on some tiles of a surface is worth on others.

    Args:
        peer: Not taught yet.
        mill: The surface.
        taught: Its tiles that teach.
        rows: Its tiles that are judged ...
        clean: ... and which of these are good.
        groups: Of these.
    """
    started = time.perf_counter()
    peer.teach(mill, taught)
    teach_s = time.perf_counter() - started
    peer.judge([mill.tiles[i] for i in rows[:AT_ONCE]])  # warm
    started = time.perf_counter()
    scores = np.concatenate(
        [peer.judge([mill.tiles[i] for i in rows[at : at + AT_ONCE]]) for at in range(0, len(rows), AT_ONCE)]
    )
    judge_s = time.perf_counter() - started
    recall = {
        f"recall_at_{share:.1%}": round(float((scores[~clean] > np.quantile(scores[clean], 1 - share)).mean()), 4)
        for share in (0.001, 0.01)
    }
    return {
        "auroc": rank(scores, ~clean, groups), **recall,
        "teach_s": round(teach_s, 1), "tiles_per_s": round(len(rows) / judge_s, 1), "mb": round(peer.size_mb(), 1),
    }  # fmt: skip
