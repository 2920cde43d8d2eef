#!/bin/sh
# Build the Debian package for the release this runs on: build.sh [FOLDER, default dist]
#
# It holds its own virtual environment in /opt/inspector, made from the locked hashes, so installing needs no network.
# The same files give the same bytes: SOURCE_DATE_EPOCH dates them (unset: the last commit). Other variables:
#   PYTHON          the release's own interpreter (default /usr/bin/python3)
#   DEB_VERSION     version of the package (default VERSION-1~RELEASE)
#   DEB_MAINTAINER  "Name <mail>"
#   DEB_COMPRESS    options of dpkg-deb (default "-Zzstd -z9": 86 MB in seconds; "-Zxz": 63 MB in minutes)
# Wheels come from where pip is configured to look; with PIP_NO_INDEX=1 and PIP_FIND_LINKS=FOLDER from a folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
into=${1:-$source/dist}
mkdir -p "$into"
into=$(cd "$into" && pwd)
PYTHON=${PYTHON:-/usr/bin/python3}
export PYTHON
[ -n "${SOURCE_DATE_EPOCH:-}" ] || SOURCE_DATE_EPOCH=$(git -C "$source" log -1 --format=%ct 2>/dev/null || echo 1700000000)
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

"$source/deploy/install/make-wheel.sh" "$work/wheel"
wheel=$(echo "$work"/wheel/inspector-*.whl)
"$source/deploy/install/make-venv.sh" "$root" "$wheel"

version=$(basename "$wheel" | cut -d- -f2)
release=$(. /etc/os-release && case $ID in debian) echo "deb$VERSION_ID" ;; *) echo "$ID$VERSION_ID" ;; esac)
version=${DEB_VERSION:-$version-1~$release}
python=$(basename "$(readlink "$root/opt/inspector/venv/bin/python")")
arch=$(dpkg --print-architecture)

put() { install -D -m 644 "$1" "$root/$2"; }
for unit in "$source"/systemd/*.service "$source"/systemd/*.timer "$source"/systemd/*.target; do put "$unit" "usr/lib/systemd/system/$(basename "$unit")"; done
put "$source/systemd/sysusers.conf" usr/lib/sysusers.d/inspector.conf
put "$source/systemd/tmpfiles.conf" usr/lib/tmpfiles.d/inspector.conf
for file in "$source"/systemd/drop-ins/*.conf; do put "$file" "usr/share/inspector/systemd/$(basename "$file")"; done
put "$source/deploy/install/demo.toml" etc/inspector/demo.toml
doc=usr/share/doc/inspector
for file in "$source"/deploy/install/examples/*.toml; do put "$file" "$doc/examples/$(basename "$file")"; done
for file in install operations operators security supply-chain monitoring runbook coils years both-sides acceptance; do
  [ ! -f "$source/docs/$file.md" ] || put "$source/docs/$file.md" "$doc/$file.md"
done
for file in "$source"/docs/reference/*.md; do put "$file" "$doc/reference/$(basename "$file")"; done
put "$source/CHANGELOG.md" "$doc/CHANGELOG.md"
(cd "$source/deploy/monitoring" && find grafana prometheus alertmanager -type f | sort) | while read -r file; do
  put "$source/deploy/monitoring/$file" "usr/share/inspector/monitoring/$file"
done
put "$source/deploy/monitoring/targets.py" usr/share/inspector/monitoring/targets.py
for file in alerts records rules series tune; do
  put "$source/deploy/monitoring/$file.py" "usr/share/inspector/monitoring/deploy/monitoring/$file.py"
done
for page in "$source"/deploy/share/man/man?/*; do
  put "$page" "usr/share/man/$(basename "$(dirname "$page")")/$(basename "$page")"
  gzip -9n "$root/usr/share/man/$(basename "$(dirname "$page")")/$(basename "$page")"
done
for file in bash-completion/completions/inspector zsh/vendor-completions/_inspector fish/vendor_completions.d/inspector.fish; do
  put "$source/deploy/share/$file" "usr/share/$file"
done
put "$source/inspector/settings/example.toml" "$doc/examples/every-key.toml"
put "$here/debian/copyright" "$doc/copyright"
put "$here/debian/lintian-overrides" usr/share/lintian/overrides/inspector
mkdir -p "$root/usr/bin"
ln -s /opt/inspector/venv/bin/inspector "$root/usr/bin/inspector"
{
  echo "inspector ($version) stable; urgency=medium"
  echo
  echo "  * What has changed is told in /$doc/CHANGELOG.md."
  echo
  echo " -- ${DEB_MAINTAINER:-The inspector authors <inspector@localhost>}  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n > "$root/$doc/changelog.Debian.gz"
gzip -9n < "$source/CHANGELOG.md" > "$root/$doc/changelog.gz"

mkdir "$root/DEBIAN"
echo /etc/inspector/demo.toml > "$root/DEBIAN/conffiles"
for script in preinst postinst prerm postrm; do
  sed "s/@PYTHON@/$python/g" "$here/debian/$script" > "$root/DEBIAN/$script"
  chmod 755 "$root/DEBIAN/$script"
done
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@PYTHON@/$python/" \
  -e "s/@MAINTAINER@/${DEB_MAINTAINER:-The inspector authors <inspector@localhost>}/" \
  -e "s/@SIZE@/$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)/" "$here/debian/control" > "$root/DEBIAN/control"
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum > DEBIAN/md5sums)
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

file=$into/inspector_${version}_$arch.deb
# shellcheck disable=SC2086  # a list of words
dpkg-deb --root-owner-group --threads-max=1 ${DEB_COMPRESS:--Zzstd -z9} --build "$root" "$file" >&2
echo "$file"
