#!/bin/sh
# Write the CycloneDX bill of materials of what the package installs: sbom.sh [FOLDER, default dist [VENV]]
# It is read from the files themselves: those of VENV, an unpacked package's /opt/inspector/venv, or else the wheel and
# its locked requirements, which are installed into a scratch folder first.
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

venv=${2:-$work/tree/opt/inspector/venv}
if [ -z "${2:-}" ]; then
  "$source/deploy/install/make-wheel.sh" "$work/wheel"
  "$source/deploy/install/make-venv.sh" "$work/tree" "$work"/wheel/inspector-*.whl
fi
"$PYTHON" -m venv "$work/tool"
"$work/tool/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/sbom.txt"
version=$(basename "$venv"/lib/python3*/site-packages/inspector-*.dist-info .dist-info | cut -d- -f2)
file=$into/inspector-$version.cdx.json
"$work/tool/bin/python" "$here/sbom.py" "$venv" "$file"
echo "$file"
