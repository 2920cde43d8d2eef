#!/bin/sh
# Write the CycloneDX bill of materials of what the package installs: sbom.sh [FOLDER, default dist]
# It is read from the files themselves: the wheel and its locked requirements are installed into a scratch folder first.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
into=${1:-$source/dist}
mkdir -p "$into"
into=$(cd "$into" && pwd)
PYTHON=${PYTHON:-/usr/bin/python3}
[ -n "${SOURCE_DATE_EPOCH:-}" ] || SOURCE_DATE_EPOCH=$(git -C "$source" log -1 --format=%ct 2>/dev/null || echo 1700000000)
export PYTHON SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$source/deploy/install/make-wheel.sh" "$work/wheel"
wheel=$(echo "$work"/wheel/inspector-*.whl)
"$source/deploy/install/make-venv.sh" "$work/tree" "$wheel"
"$PYTHON" -m venv "$work/tool"
"$work/tool/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/sbom.txt"
file=$into/inspector-$(basename "$wheel" | cut -d- -f2).cdx.json
"$work/tool/bin/python" "$here/sbom.py" "$work/tree/opt/inspector/venv" "$file"
echo "$file"
