"""`training.judge.explain`: both maps show the same."""

from __future__ import annotations

from pathlib import Path

from small_run import drawn_course

from inspector.drawn.tiles import draw_tile
from inspector.model.interpreter import Int8Network
from training.int8.quantize import convert
from training.int8.rounding import calibrate
from training.int8.unknown import fit_feature_head, halves
from training.judge.explain import agreement, grad_cam
from training.own import open_start


def test_grad_cam_agrees_with_the_int8_map(tmp_path: Path) -> None:
    """On the shipped network, Grad-CAM of its float twin and the map of the int8 file show the same places.

    The map that Grad-CAM explains is the one of the last feature map; what `locate` adds in the shipped file tells
    places apart that Grad-CAM's cells do not, so that one agrees less when it is averaged over them.
    """
    start = open_start(Path("neu-fast"))
    tiles, inputs = drawn_course(start.recipe)
    head = fit_feature_head(halves(start.network, tiles, start.recipe), 249)
    plain = Int8Network(convert(start.network, calibrate(start.network, inputs), head, start.recipe, tiles, tmp_path))
    rows, finer_rows = list[float](), list[float]()
    for label in ("scratches", "patches", "inclusion"):
        tile = draw_tile(label, 8, 200)
        index = start.labels.index(label)
        explained = grad_cam(start.network, start.recipe, tile, index)
        for network, agreed in ((plain, rows), (Int8Network(start.int8), finer_rows)):
            agreed.append(agreement(explained, network([tile])["cam"][0][:, :, index]))

    assert min(rows) > 0.9
    assert min(finer_rows) > 0.85
