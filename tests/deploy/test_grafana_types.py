"""The dashboards against the TypeScript types that Grafana itself is built with; there is no Grafana server here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

DASHBOARDS = sorted((Path(__file__).resolve().parent.parent.parent / "deploy/monitoring/grafana/dashboards").iterdir())
PANEL_TYPES = {
    "timeseries": "timeseries", "stat": "stat", "heatmap": "heatmap", "state-timeline": "statetimeline",
    "table": "table",
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# What the SDK for 10.1 writes, or Prometheus annotations take, and the types of 13 no longer or never name.
OLDER = {"style"}
OLDER_IN_OPTIONS = {"footer"}
OLDER_IN_TOOLTIPS = {"show"}
OF_THE_DATA_SOURCE = {"expr", "step", "titleFormat", "textFormat"}

LOOSE = """
type Loose<T> = T extends string ? `${T}`
  : T extends (infer U)[] ? Loose<U>[]
  : T extends object ? { [K in keyof T]: Loose<T[K]> } : T;
type Partly<T> = T extends object ? { [K in keyof T]?: Partly<T[K]> } : T;
"""


@pytest.fixture
def schema_folder(npm: str, cache_folder: Path) -> Path:
    """Grafana's types and a compiler, installed once outside of the repository."""
    folder = cache_folder / "grafana-schema"
    if not (folder / "node_modules/@grafana/schema").is_dir():
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--prefix", folder, "@grafana/schema@13", "typescript@5"],
            check=True, capture_output=True,
        )  # fmt: skip
    return folder


def type_errors(folder: Path, name: str, text: str) -> list[str]:
    """What the compiler says about a file."""
    file = folder / f"{name}.ts"
    file.write_text(text)
    ran = subprocess.run(
        [folder / "node_modules/.bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler",
         "--module", "esnext", file.name],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ran.stdout.splitlines()


def without(value: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key not in keys}


def as_typescript(board: dict[str, Any]) -> str:
    """The dashboard, and each panel's options by its kind, with the types that Grafana gives them."""
    board = without(board, OLDER)
    board["annotations"] = {"list": [without(entry, OF_THE_DATA_SOURCE) for entry in board["annotations"]["list"]]}
    lines = ["import type { Dashboard } from '@grafana/schema';", LOOSE]
    for kind in PANEL_TYPES.values():
        where = f"./node_modules/@grafana/schema/dist/types/raw/composable/{kind}/panelcfg/x/types.gen"
        lines.append(f"import type * as {kind} from '{where}';")
    lines.append(f"export const board: Loose<Partial<Dashboard>> = {json.dumps(board, indent=1)};")
    for number, panel in enumerate(panel for panel in board["panels"] if panel["type"] != "row"):
        kind = PANEL_TYPES[panel["type"]]
        options = without(panel["options"], OLDER_IN_OPTIONS)
        if "tooltip" in options:
            options["tooltip"] = without(options["tooltip"], OLDER_IN_TOOLTIPS)
        shown = json.dumps(options, indent=1)
        lines.append(f"export const options{number}: Loose<Partly<{kind}.Options>> = {shown};")
        if "custom" in panel["fieldConfig"]["defaults"]:
            custom = json.dumps(panel["fieldConfig"]["defaults"]["custom"], indent=1)
            lines.append(f"export const custom{number}: Loose<Partly<{kind}.FieldConfig>> = {custom};")
    return "\n".join(lines)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafana_s_own_types_accept_the_dashboard(path: Path, schema_folder: Path) -> None:
    """Dashboard, panels, each panel's options and field settings; and a wrong value would be seen."""
    board = json.loads(path.read_text(encoding="utf-8"))

    assert type_errors(schema_folder, path.stem, as_typescript(board)) == []

    board["panels"][1]["gridPos"]["h"] = "nine"
    board["panels"][2]["options"]["colorMode"] = "loud"
    errors = "\n".join(type_errors(schema_folder, f"{path.stem}-wrong", as_typescript(board)))
    assert "Type 'string' is not assignable to type 'number'" in errors
    assert "loud" in errors
