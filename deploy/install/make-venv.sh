#!/bin/sh
# Make /opt/inspector/venv below a root folder from the locked requirements and the wheel: the part that the Debian
# package and install.sh share.
#
#   make-venv.sh ROOT WHEEL        ROOT is / or a folder that becomes one; the environment never names it
#
# PYTHON chooses the interpreter (it must be one of the machine that will run it). With PIP_NO_INDEX=1 and
# PIP_FIND_LINKS=FOLDER nothing is fetched. The same input gives the same files.
set -eu
root=${1:?ROOT} wheel=${2:?WHEEL}
source=$(cd "$(dirname "$0")/../.." && pwd)
# The interpreter itself: what PATH has may be a link or, with pyenv, a script that starts one.
python=$("${PYTHON:-python3}" -c 'import os, sys; print(os.path.realpath(sys.executable))')
name=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
python=$(dirname "$python")/$name
venv=${root%/}/opt/inspector/venv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: $python" >&2; exit 1; }
rm -rf "$venv"
mkdir -p "$(dirname "$venv")"
"$python" -m venv --without-pip "$venv"

# setuptools is there to build with, and stays out.
awk '/^[a-z]/ { take = !/^setuptools==/ } take' "$source/requirements/run.txt" > "$work/run.txt"
"$python" -m venv "$work/pip"
pip() { "$work/pip/bin/pip" --disable-pip-version-check --python "$venv/bin/python" install --quiet --no-compile --no-deps "$@"; }
pip --require-hashes --only-binary :all: -r "$work/run.txt"
pip --no-index "$wheel"

# What a line PC never runs: test suites, type stubs, headers, accelerators and compilers for other hardware, training.
site=$venv/lib/$name/site-packages
rm -rf "$site/ai_edge_litert/tools" "$site/ai_edge_litert/vendors" "$site/ai_edge_litert/libLiteRtWebGpuAccelerator.so" \
  "$site/training" "$site/numpy/f2py" "$site/numpy/_core/include" "$site/numpy/_core/lib" "$site/numpy/random/lib"
find "$site" -depth -type d \( -name __pycache__ -o -path '*/numpy/*/tests' -o -name testdata \) -exec rm -rf {} +
find "$site" -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.a' -o -name '*.h' \) -delete
find "$site" -type f -path '*.dist-info/*' \( -name RECORD -o -name INSTALLER -o -name REQUESTED -o -name direct_url.json \) -delete

# One command, and no word of the folder it was built in.
find "$venv/bin" -mindepth 1 ! -name 'python*' -delete
ln -sfn "$python" "$venv/bin/$name"
ln -sfn "$name" "$venv/bin/python3"
ln -sfn "$name" "$venv/bin/python"
cat > "$venv/bin/inspector" <<SCRIPT
#!/opt/inspector/venv/bin/python -I
import sys

from inspector.cli import main

sys.exit(main())
SCRIPT
chmod 755 "$venv/bin/inspector"
printf 'home = %s\ninclude-system-site-packages = false\n' "$(dirname "$python")" > "$venv/pyvenv.cfg"
rm -rf "$venv/include" "$venv/share"
find "$venv" -type d -exec chmod 755 {} +
find "$venv" -type f ! -path '*/bin/*' -exec chmod 644 {} +
