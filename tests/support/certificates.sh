#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# certificates.sh DIR - a test authority and what it signed, made once, for the servers and clients of tests.
#
#   ca.pem, ca.key            the authority
#   server.pem, server.key    for the name `localhost` only: a client that asks for 127.0.0.1 must refuse it
#   server-all.pem            key and certificate in one, as Kafka reads it
#   client.pem, client.key    for the user polku_certificate
#   stranger.pem              another authority, which signed nothing of these
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ $# -eq 1 ] || {
    sed -n '3,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
dir=$(absolute "$1")
[ ! -e "$dir/complete" ] || exit 0
command -v openssl >/dev/null || die "openssl is missing: deploy/packages.sh test"
umask 077

# The file's name before the command line: openssl writes dots to standard error.
quietly() {
    "$@" 2>"$dir/openssl.log" </dev/null || {
        cat "$dir/openssl.log" >&2
        die "failed: $*"
    }
}

key() {
    quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/$1.key"
}

authority() {
    key "$1"
    quietly openssl req -x509 -new -key "$dir/$1.key" -subj "/CN=polku test authority $1" -days 3650 -out "$dir/$1.pem"
}

signed() {
    local name=$1 subject=$2 extension=$3
    key "$name"
    quietly openssl req -new -key "$dir/$name.key" -subj "$subject" -out "$dir/$name.csr"
    printf '%s\n' "$extension" >"$dir/$name.ext"
    quietly openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 3650 \
        -extfile "$dir/$name.ext" -out "$dir/$name.pem"
    rm -f "$dir/$name.csr" "$dir/$name.ext"
}

authority ca
authority stranger
signed server /CN=localhost 'subjectAltName = DNS:localhost'
signed client /CN=polku_certificate 'extendedKeyUsage = clientAuth'
cat "$dir/server.key" "$dir/server.pem" >"$dir/server-all.pem"
rm -f "$dir/stranger.key" "$dir/openssl.log"
touch "$dir/complete"
