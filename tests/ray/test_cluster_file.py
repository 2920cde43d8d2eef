"""`deploy/ray/cluster.yaml` as Ray reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = Path(__file__).resolve().parent.parent.parent / "deploy/ray/cluster.yaml"


def read() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def test_ray_s_own_schema_takes_the_cluster_file() -> None:
    """With its defaults filled in; a misspelt key is refused."""
    validate_config(prepare_config(read()))
    with pytest.raises(ValidationError, match="setup_comands"):
        validate_config(prepare_config(read() | {"setup_comands": []}))
