#!/usr/bin/env bash
# Builds docker/Dockerfile and starts it, without a Docker engine: debootstrap makes the base image from this machine's
# own package source, buildah builds on it in a chroot, and the command runs as the image's user. Needs root on Debian
# or Ubuntu, about 2 GB in TMPDIR and two minutes. What is tried as the image's user: help, the formats, an office of its own
# from `init` to the health check that the image declares, and a small month of the demo; that the user may not change the
# program, and that the image holds no pip and nothing of the repository but the packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "make image-check needs root on Debian or Ubuntu (debootstrap, chroot)." >&2
    exit 3
fi
missing=()
for tool in buildah debootstrap; do command -v $tool >/dev/null || missing+=("$tool"); done
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${missing[@]}"
fi

work=$(mktemp -d "${TMPDIR:-/var/tmp}/sheyin-image.XXXXXX")
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$work/root" --runroot "$work/run" "$@"; }
clean_up() {
    buildah rm --all >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean_up EXIT

. /etc/os-release
components=main
[ "$ID" = ubuntu ] && components=main,universe
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
    awk -v suite="$VERSION_CODENAME" '$2 == suite { print $1; exit }')

echo "== base image: $ID $VERSION_CODENAME with python3 and python3-venv"
debootstrap --variant=minbase --components=$components --include=python3,python3-venv \
    "$VERSION_CODENAME" "$work/base" "$mirror" >"$work/debootstrap.log" 2>&1 || {
    tail -20 "$work/debootstrap.log" >&2
    exit 1
}
rm -rf "$work/base/var/cache/apt" "$work/base/var/lib/apt/lists"
container=$(buildah from scratch)
buildah add --quiet "$container" "$work/base" / >/dev/null
buildah commit --quiet "$container" sheyin-base >/dev/null
buildah rm "$container" >/dev/null
rm -rf "$work/base"

echo "== build docker/Dockerfile on it"
# A network with an authority or an index of its own: what pip uses here, pip uses in the build.
options=()
for name in PIP_INDEX_URL PIP_CERT; do options+=(--build-arg "$name=${!name:-}"); done
[ -n "${PIP_CERT:-}" ] && options+=(--volume "$PIP_CERT:$PIP_CERT:ro")
buildah bud --quiet --format docker --pull-never --build-arg BASE=localhost/sheyin-base "${options[@]}" \
    --file docker/Dockerfile --tag sheyin . >/dev/null

echo "== start it"
container=$(buildah from --pull-never localhost/sheyin)
inside() { buildah run --isolation chroot "$container" -- "$@"; }
user=$(inside id -u)
[ "$user" != 0 ] || { echo "the image runs as root" >&2; exit 1; }
inside sheyin --help >"$work/help"
grep -q serve "$work/help" || { echo "sheyin --help does not name serve" >&2; exit 1; }
inside sheyin banks --json >"$work/banks"
python3 -m json.tool "$work/banks" >/dev/null
for format in adapters/*/route.py; do
    format=$(basename "$(dirname "$format")")
    grep -q "\"$format\"" "$work/banks" || { echo "sheyin banks does not know $format" >&2; exit 1; }
done
if inside sh -c 'touch /opt/sheyin/x' 2>/dev/null; then
    echo "the image's user may change the program" >&2
    exit 1
fi
if inside sh -c 'command -v pip || ls -d /source || ls -d /opt/sheyin/lib/*/site-packages/tests' >"$work/left" 2>/dev/null; then
    echo "the image holds what it should not: $(cat "$work/left")" >&2
    exit 1
fi
image() { buildah inspect --type image --format "{{$1}}" localhost/sheyin; }
health=$(image 'range $i, $word := .Docker.Config.Healthcheck.Test}}{{if $i}}{{$word}} {{end}}{{end')
inside sh -ec "mkdir office; cd office; sheyin init; sheyin pki dev; sheyin db upgrade; $health" >"$work/office"
inside sheyin demo --payments 300 >"$work/demo" 2>&1 || { cat "$work/demo" >&2; exit 1; }
grep -q "every fen accounted for" "$work/demo"
echo "user $(image .Docker.Config.User); health check: $health; starts: $(image .Docker.Config.Entrypoint) $(image .Docker.Config.Cmd)"
echo "image-check passed: built, and sheyin ran as user $user"
