#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# peers.sh - Kafka and Avro clients of other makers, in a folder of the build.
#
#   peers.sh python CACHE    a virtual environment with requirements.txt
#   peers.sh java CACHE      the jars of java/pom.xml
#
# Each is made once for what its list says. Exit code 3: it cannot be fetched.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../support/lib.sh"
[ $# -eq 2 ] || {
    sed -n '3,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
cache=$(absolute "$2")
exec 8>"$cache/lock"
flock 8 # tests run side by side

# fetched LIST COMMAND... - runs it unless that has been done for this list.
fetched() {
    local list=$1
    shift
    ! cmp -s "$list" "$cache/list" || return 0
    rm -rf "$cache/list" "$cache/libs" "$cache/venv"
    "$@" >"$cache/log" 2>&1 </dev/null || {
        tail -n 5 "$cache/log" >&2
        exit 3
    }
    cp "$list" "$cache/list"
}

python() {
    # Debian's, not another one that may be first in the path: its version decides which packages fit.
    local program=/usr/bin/python3
    [ -x "$program" ] || program=python3
    "$program" -m venv "$cache/venv" && "$cache/venv/bin/pip" install -q -r "$here/requirements.txt"
}

java() {
    mvn -B -q -f "$here/java/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/libs"
}

case "$1" in
python) fetched "$here/requirements.txt" python ;;
java) fetched "$here/java/pom.xml" java ;;
*) exit 2 ;;
esac
