#!/bin/sh
# Install inspector where the Debian package does not fit: any Linux with systemd 252 and Python 3.11 or later.
#
#   sudo deploy/install/install.sh              install, or upgrade: stations that run go on with the new version
#   sudo deploy/install/install.sh --uninstall  remove the program; configuration, state and pictures stay
#   sudo deploy/install/install.sh --purge      remove configuration, state and secrets as well
#
# Wheels come from where pip is configured to look, each checked against its locked hash. Without a network: collect
# them elsewhere with collect-wheels.sh, copy the folder, and set PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER.
# PYTHON chooses the interpreter; it must stay on this machine.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
units=/usr/local/lib/systemd/system
umask 022

say() { printf '%s\n' "$*"; }
fail() { say "install.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "root is needed (sudo)"
running=$([ -d /run/systemd/system ] && echo yes || echo no)
package=$(dpkg-query -W -f='${Status}' inspector 2>/dev/null || true)
case $package in *' ok installed') fail "the Debian package is installed: use apt-get or dpkg" ;; esac

uninstall() {
  if [ "$running" = yes ]; then
    systemctl stop 'inspector@*.service' 'inspector-strip@*.service' 'inspector-archive@*.timer' inspector.target 2>/dev/null || true
    systemctl disable inspector.target 2>/dev/null || true
  fi
  rm -rf /opt/inspector /usr/local/share/inspector
  rm -f /usr/local/bin/inspector "$units"/inspector@.service "$units"/inspector-*@.service \
    "$units"/inspector-*@.timer "$units/inspector.target" \
    /etc/sysusers.d/inspector.conf /etc/tmpfiles.d/inspector.conf /usr/local/share/man/man1/inspector.1 \
    /usr/local/share/man/man5/inspector.toml.5 /usr/local/share/bash-completion/completions/inspector \
    /usr/local/share/fish/vendor_completions.d/inspector.fish /usr/local/share/zsh/site-functions/_inspector
  if [ "$1" = --purge ]; then
    rm -rf /etc/inspector /var/lib/inspector
    rm -f /etc/credstore/inspector.* /etc/systemd/system/inspector.target.wants/inspector@*.service
  fi
  [ "$running" = no ] || systemctl daemon-reload
  say "inspector is removed$([ "$1" = --purge ] || echo '; /etc/inspector and /var/lib/inspector stay')"
}

case ${1:-} in
  --uninstall | --purge) uninstall "$1"; exit 0 ;;
  '') ;;
  *) fail "unknown option: $1" ;;
esac

# A purge of it would remove configuration, state and program of what is installed here.
case $package in *' config-files') fail "the Debian package was removed and not purged: apt-get purge inspector first (it deletes /etc/inspector and /var/lib/inspector: copy what you keep)" ;; esac
python=$("${PYTHON:-python3}" -c 'import os, sys; print(os.path.realpath(sys.executable))')
case $python in /home/* | ~root/* | /run/user/*) fail "the units do not see $python: set PYTHON to an interpreter outside of homes and /run/user, say /usr/bin/python3" ;; esac

if [ "$running" = yes ]; then
  version=$(systemctl --version | sed -n 's/^systemd \([0-9]*\).*/\1/p')
  [ "$version" -ge 252 ] || fail "systemd 252 or later is needed: $version"
fi

# The new environment is made beside the old one and takes its place at once; what runs is not disturbed until then.
stage=/opt/inspector/.stage
trap 'rm -rf "$stage"' EXIT
rm -rf "$stage"
mkdir -p "$stage"
"$here/make-wheel.sh" "$stage/wheel"
say "installing the locked requirements into /opt/inspector/venv"
"$here/make-venv.sh" "$stage/tree" "$stage"/wheel/inspector-*.whl
"$stage/tree/opt/inspector/venv/bin/python" -m compileall -q -j 0 -s "$stage/tree" "$stage/tree/opt/inspector/venv/lib" || true
# The service is not root.
runuser -u nobody -- "$stage/tree/opt/inspector/venv/bin/python" -I -c "import inspector.cli" ||
  fail "a user other than root cannot run it with $(readlink -f "$stage/tree/opt/inspector/venv/bin/python"): set PYTHON, say to /usr/bin/python3"
rm -rf /opt/inspector/venv.old
[ ! -d /opt/inspector/venv ] || mv /opt/inspector/venv /opt/inspector/venv.old
mv "$stage/tree/opt/inspector/venv" /opt/inspector/venv
rm -rf /opt/inspector/venv.old

put() { install -D -m 644 "$1" "$2"; }
mkdir -p /usr/local/bin
ln -sfn /opt/inspector/venv/bin/inspector /usr/local/bin/inspector
for file in "$source"/systemd/*.service "$source"/systemd/*.timer "$source"/systemd/*.target; do put "$file" "$units/$(basename "$file")"; done
for file in "$source"/systemd/drop-ins/*.conf; do put "$file" "/usr/local/share/inspector/systemd/$(basename "$file")"; done
for file in "$here"/examples/*.toml; do put "$file" "/usr/local/share/inspector/examples/$(basename "$file")"; done
for file in man/man1/inspector.1 man/man5/inspector.toml.5 bash-completion/completions/inspector \
  fish/vendor_completions.d/inspector.fish; do put "$source/deploy/share/$file" "/usr/local/share/$file"; done
put "$source/deploy/share/zsh/vendor-completions/_inspector" /usr/local/share/zsh/site-functions/_inspector
put "$source/inspector/settings/example.toml" /usr/local/share/inspector/examples/every-key.toml
put "$source/systemd/sysusers.conf" /etc/sysusers.d/inspector.conf
put "$source/systemd/tmpfiles.conf" /etc/tmpfiles.d/inspector.conf
[ -e /etc/inspector/demo.toml ] || put "$here/demo.toml" /etc/inspector/demo.toml
systemd-sysusers inspector.conf
systemd-tmpfiles --create inspector.conf || true
if [ "$running" = yes ]; then
  systemctl daemon-reload
  systemctl enable --now inspector.target
  systemctl try-restart 'inspector@*.service'
fi
say "installed: $(/usr/local/bin/inspector --version).  Try it:  systemctl start inspector@demo"
