#!/bin/sh
# Build the image with whatever is here: docker, podman, or buildah (which needs no engine).
#   build.sh [NAME:TAG]       BASE=image in the environment takes another base, DOCKERFILE=path another image
set -eu
cd "$(dirname "$0")/../.."
name=${1:-inspector:local}
file=${DOCKERFILE:-deploy/docker/Dockerfile}
set -- -f "$file" -t "$name"
[ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"

if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  exec docker build "$@" .
elif command -v podman >/dev/null && podman info >/dev/null 2>&1; then
  exec podman build --format docker "$@" .
elif command -v buildah >/dev/null; then  # docker format: the other one has no health check
  # shellcheck disable=SC2086  # a list of words
  exec buildah bud --format docker --isolation "${BUILDAH_ISOLATION:-chroot}" \
    --ignorefile "$file.dockerignore" ${BUILDAH_OPTIONS:-} "$@" .
fi
echo "build.sh: docker, podman or buildah is needed" >&2
exit 1
