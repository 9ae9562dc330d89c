#!/usr/bin/env bash
# Installs, by apt, the servers and tools that the tests and the benchmark need and that are not here yet:
# rabbitmq-server, postgresql, xmlsec1, openssl, openssh-client, softhsm2. Does nothing, quickly, when all of them are.
# Debian's own services are neither started (policy-rc.d) nor left enabled: the tests start private ones.
# Exit codes: 0 all is there; 3 something is missing and this user or this system cannot install it.
set -euo pipefail

have_rabbitmq() { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null; }
have_postgresql() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }

missing=()
have_rabbitmq || missing+=(rabbitmq-server)
have_postgresql || missing+=(postgresql)
command -v xmlsec1 >/dev/null || missing+=(xmlsec1)
command -v openssl >/dev/null || missing+=(openssl)
command -v ssh-keygen >/dev/null || missing+=(openssh-client)
command -v softhsm2-util >/dev/null || missing+=(softhsm2)
[ ${#missing[@]} -eq 0 ] && exit 0

echo "The tests need what is not installed here: ${missing[*]}"
if ! command -v apt-get >/dev/null; then
    echo "There is no apt-get on this system. Install them by its own means, or give servers of your own:" >&2
    echo "  SHEYIN_TEST_AMQP_URL=amqp://... SHEYIN_TEST_PG_URL=postgresql://... make test" >&2
    exit 3
fi
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        echo "Installing with sudo."
        exec sudo -- "$(realpath "$0")"
    fi
    echo "Only root may install them. Run this once, then again what you ran:" >&2
    echo "  sudo $(realpath "$0")" >&2
    exit 3
fi

policy=/usr/sbin/policy-rc.d
saved=$policy.before-sheyin
restore() {
    rm -f "$policy"
    if [ -e "$saved" ]; then mv "$saved" "$policy"; fi
}
# A leftover of a killed run is the true one.
if [ -e "$policy" ] && [ ! -e "$saved" ]; then mv "$policy" "$saved"; fi
trap restore EXIT
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
install_missing() {
    apt-get install --yes --quiet --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"
}
known() { apt-cache show "${missing[@]}" >/dev/null 2>&1; }
# Package lists may be absent, or older than the archive: fetch them once, when that shows.
if ! known || ! install_missing; then
    apt-get update --quiet
    if ! install_missing; then
        echo "apt-get could not install: ${missing[*]}" >&2
        exit 3
    fi
fi

if command -v systemctl >/dev/null; then
    for package in "${missing[@]}"; do
        case $package in
        rabbitmq-server | postgresql) systemctl disable --quiet "$package.service" >/dev/null 2>&1 || true ;;
        esac
    done
fi
echo "Installed: ${missing[*]}"
