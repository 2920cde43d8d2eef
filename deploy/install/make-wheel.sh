#!/bin/sh
# Build the wheel into a folder, the same bytes every time for the same files: make-wheel.sh [FOLDER, default dist]
# PYTHON chooses the interpreter. SOURCE_DATE_EPOCH dates the files; unset, the last commit does.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
into=${1:-$root/dist}
python=${PYTHON:-python3}
mkdir -p "$into"
into=$(cd "$into" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

[ -n "${SOURCE_DATE_EPOCH:-}" ] || SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 1700000000)
export SOURCE_DATE_EPOCH PYTHONHASHSEED=0

# What git knows or would take, so that leftovers of a build never get in; without git, what lies there.
cd "$root"
set -- inspector training deploy/share pyproject.toml README.md LICENSE
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  git ls-files -z --cached --others --exclude-standard -- "$@"
else
  find "$@" -type f ! -path '*/__pycache__/*' -print0
fi | xargs -0 sh -c 'for file; do [ ! -e "$file" ] || printf "%s\0" "$file"; done' sh > "$work/list"
mkdir "$work/source"
tar --null -T "$work/list" -cf - | tar -C "$work/source" -xf -
find "$work/source" -type d -exec chmod 755 {} +
find "$work/source" -type f -exec chmod 644 {} +

# setuptools as the lock names it, nothing else.
"$python" -m venv "$work/venv"
awk '/^[a-z]/ { take = /^setuptools==/ } take' "$root/requirements/run.txt" > "$work/build.txt"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$work/build.txt"
"$work/venv/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation \
  --wheel-dir "$work/out" "$work/source"
mv "$work/out"/inspector-*.whl "$into/"
ls "$into"/inspector-*.whl >&2
