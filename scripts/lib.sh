# Shared by the scripts beside it: finds Python, makes the virtual environment, installs the locked requirements.
# shellcheck shell=sh
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

as_root() {  # run a command as root if that is possible without asking; else fail
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

apt_install() {  # install Debian packages that are missing; says which when it cannot
  missing=
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -z "$missing" ] && return 0
  say "installing:$missing"
  # shellcheck disable=SC2086  # a list of words
  if command -v apt-get >/dev/null && as_root env DEBIAN_FRONTEND=noninteractive sh -c \
    'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' sh $missing >/dev/null; then return 0; fi
  say "cannot install without root, please do:  sudo apt-get install$missing"
  return 1
}

find_python() {
  for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"; return 0
    fi
  done
  say "Python 3.11 or newer is needed and was not found"; return 1
}

set_up() {  # set_up NAME: the environment .venv-NAME with requirements/NAME.txt, made again when they change
  venv=".venv-$1"
  lock="requirements/$1.txt"
  stamp="$venv/.$(cksum "$lock" | cut -d' ' -f1)"
  if [ ! -f "$stamp" ]; then
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
    say "setting up $venv (once, about a minute)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    : > "$stamp"
  fi
}
