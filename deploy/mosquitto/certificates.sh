#!/bin/sh
# Certificates for broker and stations, by openssl: a CA of your own, server and client certificates from it.
#
#   certificates.sh ca DIR                      once; keep DIR/ca.key off the broker
#   certificates.sh server DIR NAME HOST...     NAME.crt, NAME.key for a server reached as HOST (names and addresses)
#   certificates.sh client DIR SITE/LINE/NAME   SITE-LINE-NAME.crt and .key; the common name is the MQTT user
#   certificates.sh show DIR                    who, and until when
#
# To renew, run the same command again and copy the files, then `systemctl reload mosquitto` for a server (nobody is
# dropped), `systemctl restart inspector@NAME` for a client. CA_DAYS and DAYS in the environment set the validity.
set -eu
umask 077

die() { printf '%s\n' "certificates.sh: $*" >&2; exit 2; }
usage() { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }

[ $# -ge 2 ] || usage
command=$1 dir=$2
shift 2
ca_days=${CA_DAYS:-3650} days=${DAYS:-397}
command -v openssl >/dev/null || die "openssl is needed"
mkdir -p "$dir"
work=$(mktemp -d "$dir/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT

new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ||
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

request() {  # request COMMON_NAME EXTENSIONS: work/request.csr, work/extensions
  case $1 in *[!A-Za-z0-9/._-]*) die "letters, digits, / . _ - are wanted: $1" ;; esac
  [ ${#1} -le 64 ] || die "a common name has at most 64 characters: $1"
  printf '[req]\nprompt=no\ndistinguished_name=name\n[name]\nCN=%s\n' "$1" > "$work/request.conf"
  openssl req -new -key "$work/key" -config "$work/request.conf" -out "$work/request.csr"
  printf '%s\n' "$2" > "$work/extensions"
}

sign() {  # sign NAME: NAME.crt and NAME.key, both or none
  [ -f "$dir/ca.key" ] || die "no CA in $dir: certificates.sh ca $dir"
  serial=0x$(openssl rand -hex 16)
  openssl x509 -req -in "$work/request.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -set_serial "$serial" -sha256 \
    -days "$days" -extfile "$work/extensions" -out "$work/crt" 2>/dev/null
  chmod 644 "$work/crt"
  mv "$work/key" "$dir/$1.key"
  mv "$work/crt" "$dir/$1.crt"
}

leaf='basicConstraints=critical,CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid'

case $command in
ca)
  [ ! -e "$dir/ca.key" ] || die "$dir/ca.key is there already; another CA makes every certificate worthless"
  new_key "$work/key"
  request "inspector-CA" 'basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash'
  openssl x509 -req -in "$work/request.csr" -signkey "$work/key" -sha256 -days "$ca_days" \
    -extfile "$work/extensions" -out "$work/crt" 2>/dev/null
  chmod 644 "$work/crt"
  mv "$work/key" "$dir/ca.key"
  mv "$work/crt" "$dir/ca.crt"
  ;;
server)
  [ $# -ge 2 ] || usage
  name=$1
  shift
  alternatives=
  for host in "$@"; do
    case $host in
      *:*) kind=IP ;;
      *[!0-9.]*) kind=DNS ;;
      *) kind=IP ;;
    esac
    alternatives=$alternatives${alternatives:+,}$kind:$host
  done
  new_key "$work/key"
  request "$name" "$leaf
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=$alternatives"
  sign "$name"
  ;;
client)
  [ $# -eq 1 ] || usage
  new_key "$work/key"
  request "$1" "$leaf
keyUsage=critical,digitalSignature
extendedKeyUsage=clientAuth"
  sign "$(printf %s "$1" | tr / -)"
  ;;
show)
  for file in "$dir"/*.crt; do
    [ -f "$file" ] || die "no certificate in $dir"
    printf '%s: %s, until %s\n' "$(basename "$file")" "$(openssl x509 -in "$file" -noout -subject)" \
      "$(openssl x509 -in "$file" -noout -enddate | cut -d= -f2)"
  done
  ;;
*) usage ;;
esac
