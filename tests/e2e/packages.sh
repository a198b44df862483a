#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# packages.sh BUILD - `cpack -G DEB` makes four packages that hold what they should, depend on what they need and pass lintian.
#
# What they do once installed is asked in a root of its own: `tests/e2e/install_root`, by hand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/support/lib.sh
build=$(absolute "$1")
here=$build/packages-test
failed=0

expect() {
    if [ "$2" = "$3" ]; then
        say "  ok      $1"
    else
        say "  NOT SO  $1: wanted '$2', got '$3'"
        failed=$((failed + 1))
    fi
}

# skip SENTENCE: where CI is set everything must be there
skip() {
    say "SKIPPED: $1"
    [ -z "${CI:-}" ] || exit 1
    exit 77
}

for tool in dpkg-deb dpkg-shlibdeps file; do
    command -v "$tool" >/dev/null || skip "there is no $tool (deploy/packages.sh test)"
done
prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:[A-Z]*=//p' "$build/CMakeCache.txt")
[ "$prefix" = /usr ] || skip "$build is configured for $prefix; packages need -DCMAKE_INSTALL_PREFIX=/usr"

rm -rf "$here"
mkdir -p "$here"
if ! (unset DESTDIR && cd "$here" && cpack -G DEB --config "$build/CPackConfig.cmake" -B "$here" >"$here/log" 2>&1); then
    cat "$here/log" >&2
    die "cpack failed"
fi
version=$(sed -n 's/^project(polku VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
cd "$here"
architecture=$(dpkg --print-architecture)
for name in polku-consumer polku-producer libpolku-producer0 libpolku-producer-dev; do
    package=${name}_$version-1_$architecture.deb
    expect "there is a package $name" yes "$([ -f "$package" ] && echo yes || echo no)"
    dpkg-deb -R "$package" "$name"
    expect "$name: its version" "$version-1" "$(dpkg-deb -f "$package" Version)"
    expect "$name: copyright and changelog" "changelog.Debian.gz copyright" "$(cd "$name/usr/share/doc/$name" && echo *)"
    expect "$name: everything belongs to root" "" "$(dpkg-deb -c "$package" | awk '$2 != "root/root"')"
    expect "$name: nobody else may write to it" "" "$(find "$name" -perm /022 ! -type l)"
    expect "$name: nothing in it knows the build folder" "" "$(grep -rlF "$build" "$name" || true)"
done

depends() {
    dpkg-deb -f "$1"_*.deb Depends | grep -c -E "(^|, )$2( |,|\$)" || true
}
for library in librdkafka1 libpq5 libavro23 libjansson4 libyaml-0-2 libsodium23 libcurl4 libmicrohttpd12 libc6 tzdata; do
    expect "polku-consumer depends on $library" 1 "$(depends polku-consumer "$library")"
done
for library in librdkafka1 libjansson4 libavro23; do
    expect "libpolku-producer0 depends on $library" 1 "$(depends libpolku-producer0 "$library")"
done
for library in libcurl4 libpq5 libsodium23; do
    expect "and not on $library" 0 "$(depends libpolku-producer0 "$library")"
done
expect "libpolku-producer-dev depends on the library of its version" 1 "$(depends libpolku-producer-dev "libpolku-producer0 \(= $version-1\)")"
expect "shlibs: who is linked with it depends on this version or a newer one" "libpolku-producer 0 libpolku-producer0 (>= $version)" \
    "$(sed "s/-1)/)/" libpolku-producer0/DEBIAN/shlibs)"
expect "settings survive an upgrade" /etc/polku/consumer.conf "$(<polku-consumer/DEBIAN/conffiles)"
expect "no upgrade brings other rules" no "$([ -e polku-consumer/etc/polku/polku.yaml ] && echo yes || echo no)"
for script in postinst prerm postrm; do
    sh -n "polku-consumer/DEBIAN/$script"
done
service=polku-consumer/usr/lib/systemd/system/polku-consumer@.service
expect "the unit starts the program of the package" 1 "$(grep -c '^ExecStart=/usr/bin/polku-consumer run --config /etc/polku/consumer.conf ' "$service")"
expect "rules and schemas of the package" "rules = /etc/polku/polku.yaml schemas = /usr/share/polku/schemas" \
    "$(echo $(grep '^[a-z]' polku-consumer/etc/polku/consumer.conf))"
expect "unpacked anywhere, migrate finds its files" 1 "$(cd / && "$here/polku-consumer/usr/bin/polku-consumer" migrate \
    --database 'host=127.0.0.1 port=1 connect_timeout=1' --log-format text 2>&1 | grep -c 'cannot connect to PostgreSQL')"
expect "manuals are compressed" "" "$(find . -path '*/share/man/*' -type f ! -name '*.gz')"

if command -v lintian >/dev/null; then
    # Warnings that stay: prerm stops consumers by systemctl, since instances of a template are nobody's to list; cpack
    # calls ldconfig beside the trigger; the changelog closes no bug of Debian's.
    expect "lintian finds no error" "" "$(lintian --tag-display-limit 0 ./*.deb 2>/dev/null | grep '^E:' || true)"
else
    say "NOTE: not asked: lintian is not installed"
fi
[ "$failed" -eq 0 ] || die "$failed expectations failed"
