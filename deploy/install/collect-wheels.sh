#!/bin/sh
# Collect all wheels that an installation needs into a folder, for machines without a network:
#
#   collect-wheels.sh FOLDER           here, on a machine with a network and the same Python and processor
#   PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER install.sh    there; every wheel is checked against its locked hash
set -eu
into=${1:?FOLDER}
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/pip"
"$work/pip/bin/pip" --disable-pip-version-check download --quiet --require-hashes --no-deps --only-binary :all: \
  --dest "$into" -r "$source/requirements/run.txt"
ls "$into" | wc -l
