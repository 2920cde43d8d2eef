"""The same scores on other processors: the golden check under an emulator, from AVX-512 down to SSE4."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

import pytest

from inspector.model.bundle import SHIPPED

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from inspector.model.bundle import load_bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
bundle = load_bundle(Path(sys.argv[1]))
whole, every = bundle.golden, slice(None, None, 3)  # a tile of each label: an emulator is slow
golden = replace(
    whole, tiles=whole.tiles[every], input_sha256=whole.input_sha256[every], logits=whole.logits[every],
    outputs={role: values[every] for role, values in whole.outputs.items()}, decisions=whole.decisions[every],
    output_sha256={role: hashes[every] for role, hashes in whole.output_sha256.items()},
)
print(check_golden(Classifier(replace(bundle, golden=golden))).agreement)
"""


PROCESSORS = ("Haswell", "SandyBridge", "Nehalem")
BUNDLES = sorted(path.name for path in SHIPPED.iterdir() if path.is_dir())
EVERYWHERE = "neu-fast"
"""The bundle that every processor is tried with; others are, in the ordinary run, on the one least like today's."""


@pytest.mark.real
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("bundle", "processor"),
    [
        pytest.param(bundle, each, marks=() if bundle == EVERYWHERE or each == PROCESSORS[-1] else pytest.mark.slow)
        for bundle in BUNDLES
        for each in PROCESSORS
    ],
)
def test_golden_scores_hold_on_older_processors(bundle: str, processor: str) -> None:
    """Bit-identical outputs and equal decisions on processors without AVX-512, without AVX2, and without AVX."""
    emulator = shutil.which("qemu-x86_64")
    if emulator is None or platform.machine() != "x86_64":
        pytest.skip("no emulator: sudo apt-get install qemu-user (on x86-64)")
    done = subprocess.run(
        [emulator, "-cpu", processor, sys.executable, "-c", SCRIPT, SHIPPED / bundle],
        capture_output=True, text=True, check=False,
        # NumPy's BLAS, which scores nothing here, takes an emulated Nehalem on an AMD host for a Haswell.
        env={**os.environ, "OPENBLAS_CORETYPE": processor},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "exact"
