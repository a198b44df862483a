#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# registry.sh - a real schema registry (Apicurio, with Confluent's API) on 127.0.0.1, from Maven's artifacts, in a folder.
#
#   registry.sh fetch CACHE [WHAT]      unpacks the program to CACHE (once); WHAT: a version, or a file
#                                       apicurio-registry-app-VERSION-all.zip; exit code 3: Maven reaches no repository
#   registry.sh start DIR CACHE         starts it, prints the URL of Confluent's API
#   registry.sh stop DIR                stops it; schemas and ids stay, and start goes on with them, at the same address
#   registry.sh remove DIR              stops it and deletes everything
#   registry.sh status DIR              prints the URL; exit code 1 when it does not run
#
# Schemas live in a file of the folder, a moment after they were registered. Needs Java 17 and, for fetch, Maven.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/lib.sh"

usage() {
    sed -n '3,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
[ $# -ge 2 ] || usage
command=$1
dir=$(absolute "$2")
shift 2
mark=$dir/data

fetch() {
    local what=${1:-2.6.13.Final}
    exec 8>"$dir/lock"
    flock 8 # tests run side by side
    [ "$(cat "$dir/version" 2>/dev/null)" != "$what" ] || return 0
    rm -rf "$dir/new" "$dir/app" "$dir/version"
    if [ -f "$what" ]; then
        python3 -m zipfile -e "$what" "$dir/new"
    else
        command -v mvn >/dev/null || die "Maven is missing: deploy/packages.sh test"
        say "Fetching Apicurio Registry $what with Maven"
        if ! mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
            -Dartifact="io.apicurio:apicurio-registry-app:$what:zip:all" -DoutputDirectory="$dir" \
            >"$dir/maven.log" 2>&1 </dev/null; then
            grep -m 5 ERROR "$dir/maven.log" >&2 || tail -n 5 "$dir/maven.log" >&2
            say "Maven cannot fetch Apicurio Registry, see $dir/maven.log"
            return 3
        fi
        python3 -m zipfile -e "$dir/apicurio-registry-app-$what-all.zip" "$dir/new"
        rm -f "$dir/apicurio-registry-app-$what-all.zip"
    fi
    mv "$dir/new" "$dir/app"
    echo "$what" >"$dir/version"
}

java_program() {
    local candidate
    for candidate in "${JAVA_HOME:-}" /usr/lib/jvm/java-17-openjdk-*; do
        if [ -x "$candidate/bin/java" ]; then
            echo "$candidate/bin/java"
            return
        fi
    done
    echo java
}

runs() {
    is_running "$dir/pid" "$mark"
}

url() {
    echo "http://127.0.0.1:$(<"$dir/port")/apis/ccompat/v7"
}

answers() {
    local port
    port=$(<"$dir/port")
    { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
    printf 'GET /apis/ccompat/v7/subjects HTTP/1.0\r\n\r\n' >&3
    head -n 1 <&3 | grep -q ' 200 '
}

answers_or_dead() {
    ! kill -0 "$(<"$dir/pid")" 2>/dev/null || answers
}

launch() {
    local cache=$1 runner storage
    runner=$(echo "$cache"/app/*-runner.jar)
    # H2 in a file: by the address of the database in version 2, one of several ways to store in version 3.
    storage=("-Dquarkus.datasource.jdbc.url=jdbc:h2:file:$mark" "-Dapicurio.datasource.url=jdbc:h2:file:$mark"
        -Dapicurio.storage.kind=sql -Dapicurio.storage.sql.kind=h2)
    mkdir -p "$dir/tmp"
    (exec setsid "$(java_program)" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
        -Djava.io.tmpdir="$dir/tmp" -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$(<"$dir/port")" "${storage[@]}" \
        -jar "$runner") </dev/null >>"$dir/log" 2>&1 9>&- &
    echo $! >"$dir/pid"
}

start() {
    local cache try
    [ $# -eq 1 ] || usage
    cache=$(absolute "$1")
    [ -s "$cache/version" ] || die "no registry in $cache: registry.sh fetch $cache"
    if runs; then
        url
        return
    fi
    for try in 1 2 3; do
        # A folder that was in use goes on at its address; else another port is tried.
        [ -e "$dir/complete" ] || free_port >"$dir/port"
        launch "$cache"
        if wait_until 90 answers_or_dead && runs && answers; then
            touch "$dir/complete"
            url
            return
        fi
        tail -n 5 "$dir/log" >&2
        stop_process "$dir/pid" "$mark" 10
    done
    die "the schema registry did not start, see $dir/log"
}

case "$command" in
fetch) fetch "$@" ;;
start) start "$@" ;;
stop) stop_process "$dir/pid" "$mark" 10 ;;
remove)
    stop_process "$dir/pid" "$mark" 10
    rm -rf "$dir"
    ;;
status) runs && url ;;
*) usage ;;
esac
