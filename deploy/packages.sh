#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# deploy/packages.sh [--list] GROUP... - the Debian 12 packages that Polku needs, in one place.
#
# Groups: build (compile; what the tests are made of), run (PostgreSQL and kcat for the embedded default),
# real (Java and Maven for a real Kafka and schema registry; Python's venv, Node and npm for clients of other makers),
# test (real, Prometheus; what reads packages, manuals and units), chroot (tests/e2e/bare_root),
# dashboards (Chromium for tests/dashboards/superset),
# containers (tests/deploy/containers: docker and podman; their services are not started).
# As root it installs what is missing. Otherwise it prints the line that does and stops with exit code 1.
# --list prints the names only. No system service is created, started or changed.
set -euo pipefail
export LC_ALL=C.UTF-8

packages_of() {
    case "$1" in
    build)
        echo gcc libc6-dev cmake ninja-build pkg-config librdkafka-dev libavro-dev libpq-dev libjansson-dev \
            libsodium-dev libyaml-dev libcurl4-openssl-dev libmicrohttpd-dev libcriterion-dev tzdata python3 python3-yaml
        ;;
    run) echo postgresql-15 postgresql-client-15 kcat tzdata ;;
    real) echo ca-certificates openjdk-17-jdk-headless maven nodejs npm python3-venv ;;
    test) echo "$(packages_of real)" git openssl faketime prometheus dpkg-dev file man-db systemd ;;
    fuzz) echo clang libclang-rt-14-dev ;;
    chroot) echo debootstrap git ;;
    dashboards) echo chromium pngquant fonts-dejavu-core python3-venv ;;
    containers) echo debootstrap docker.io containerd runc docker-compose podman buildah netavark aardvark-dns iptables ;;
    *)
        echo "deploy/packages.sh: no group '$1'; there are build, run, real, test, fuzz, chroot, dashboards, containers" >&2
        exit 2
        ;;
    esac
}

only_list=false
if [ "${1:-}" = --list ]; then
    only_list=true
    shift
fi
[ $# -gt 0 ] || set -- build run
wanted=()
for group in "$@"; do
    names=$(packages_of "$group")
    # shellcheck disable=SC2206 # names hold no blanks
    wanted+=($names)
done
if $only_list; then
    printf '%s\n' "${wanted[@]}"
    exit 0
fi

if ! command -v dpkg-query >/dev/null; then
    echo "Polku is built on Debian packages, and this is no Debian. It needs: ${wanted[*]}" >&2
    exit 1
fi
missing=()
for name in "${wanted[@]}"; do
    # Node from elsewhere brings npm with it, and Debian's does not go with that.
    [ "$name" != npm ] || [ ! -x /usr/bin/npm ] || continue
    # shellcheck disable=SC2016 # a format of dpkg-query
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "These packages are missing. Install them and try again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

log=$(mktemp "${TMPDIR:-/tmp}/polku-packages.XXXXXX")
dropin=/etc/postgresql-common/createcluster.d/polku-install.conf
policy=/usr/sbin/policy-rc.d
own_policy=
cleanup() {
    rm -f "$dropin" "$log" ${own_policy:+"$own_policy"}
}
trap cleanup EXIT

run() {
    if ! "$@" >"$log" 2>&1 </dev/null; then
        echo "This failed: $*" >&2
        tail -n 40 "$log" >&2
        exit 1
    fi
}

export DEBIAN_FRONTEND=noninteractive
# Debian's PostgreSQL package makes and starts a cluster when first installed. Polku keeps a private
# one instead, so that is switched off for the time of this installation.
case " ${missing[*]} " in
*" postgresql-15 "*)
    mkdir -p "${dropin%/*}"
    echo 'create_main_cluster = false' >"$dropin"
    ;;
esac
# Debian's Prometheus and Docker come as services; the tests want the programs only, so they are neither started now
# nor at boot.
case " ${missing[*]} " in
*" prometheus "* | *" docker.io "* | *" containerd "*)
    if [ ! -e "$policy" ]; then
        own_policy=$policy
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
    fi
    ;;
esac

echo "Installing ${#missing[@]} Debian packages: ${missing[*]}" >&2
# Old lists are good enough when they still serve; otherwise they are fetched once.
fetch=(apt-get install -y -q --no-install-recommends --download-only -o Dpkg::Use-Pty=0 "${missing[@]}")
if ! "${fetch[@]}" >"$log" 2>&1 </dev/null; then
    run apt-get update -q
fi
run apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef \
    -o Dpkg::Options::=--force-confold "${missing[@]}"
case " ${missing[*]} " in
*" prometheus "*) run update-rc.d prometheus disable ;;&
*" docker.io "*) run update-rc.d docker disable ;;&
esac
