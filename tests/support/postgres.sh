#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# postgres.sh - a private PostgreSQL cluster in a folder; no system service is touched.
#
#   postgres.sh start DIR [--no-fsync] [--tls CERTIFICATES]
#                                        starts it (makes it first), prints the conninfo of its owner
#   postgres.sh stop DIR                 stops it; the data stay
#   postgres.sh restart DIR MODE         restarts it in the same place; fast: breaks off, immediate: crashes
#   postgres.sh standby DIR PRIMARY [--no-fsync]   makes it a copy of the running cluster in PRIMARY that follows it
#                                        asynchronously, starts it, prints its conninfo
#   postgres.sh promote DIR              makes a standby the primary
#   postgres.sh crash DIR                kills all its processes with -9; it stays down
#   postgres.sh remove DIR               stops it and deletes the data
#   postgres.sh status DIR               prints the conninfo; exit code 1 when it does not run
#
# The server listens on a unix socket (owner `polku`, no password: the socket's folder is closed to
# others) and on a free port of 127.0.0.1 (password in DIR/password). Started by root it runs as the
# user `postgres`, because PostgreSQL refuses root; where that user cannot reach DIR, the data lie in a
# folder under /tmp that DIR/place names. start on a running cluster prints its conninfo again.
# With --tls (a folder of certificates.sh) the port also speaks TLS, and polku_certificate logs in by certificate.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    sed -n '3,19s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
[ $# -ge 2 ] || usage
command=$1
dir=$(absolute "$2")
shift 2
mode=fast
primary=
if [ "$command" = standby ]; then
    [ $# -gt 0 ] || usage
    primary=$(absolute "$1")
    shift
fi
if [ "$command" = restart ] && [ $# -gt 0 ]; then
    mode=$1
    shift
fi
fsync=on
certificates=
while [ $# -gt 0 ]; do
    case "$1" in
    --no-fsync) fsync=off ;;
    --tls)
        need_value "$1" $#
        certificates=$(absolute "$2")
        shift
        ;;
    *) usage ;;
    esac
    shift
done

bin=
for candidate in /usr/lib/postgresql/*/bin; do
    [ -x "$candidate/initdb" ] && bin=$candidate # the newest comes last
done
[ -n "$bin" ] || command -v initdb >/dev/null || die "PostgreSQL's server programs are missing: deploy/packages.sh run"
bin=${bin:+$bin/}

if [ "$(id -u)" -eq 0 ]; then
    server_user=postgres
    id "$server_user" >/dev/null 2>&1 || server_user=nobody
    as_server() { (cd / && exec runuser -u "$server_user" -- "$@"); }
else
    server_user=$(id -un)
    as_server() { (cd / && exec "$@"); }
fi

# The folder that the server's user owns: DIR/cluster, or one under /tmp.
place() {
    [ -s "$dir/place" ] && cat "$dir/place"
}

give_to_server() {
    chmod 0700 "$1"
    [ "$(id -u)" -ne 0 ] || chown "$server_user" "$1"
}

find_place() {
    local base
    base=$(place) && [ -d "$base" ] && return 0
    base=$dir/cluster
    mkdir -p "$base"
    give_to_server "$base"
    if ! as_server test -w "$base"; then
        rmdir "$base"
        base=$(mktemp -d /tmp/polku-pg.XXXXXX)
        give_to_server "$base"
    fi
    echo "$base" >"$dir/place"
}

# Answering counts, not the pid file: a killed server leaves one behind.
runs() {
    [ -s "$dir/socket" ] && [ -s "$dir/port" ] &&
        "${bin}pg_isready" -q -h "$(<"$dir/socket")" -p "$(<"$dir/port")" -d postgres -U polku -t 5
}

# A killed server that its parent has not buried yet: PostgreSQL would take it for a living one.
is_buried() {
    local pid
    [ -s "$1" ] && read -r pid <"$1" && [ -r "/proc/$pid/stat" ] || return 0
    ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status"
}

conninfo() {
    cat "$dir/conninfo"
}

make_cluster() {
    local base=$1
    [ ! -e "$base/complete" ] || return 0
    rm -rf "$base/data"
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/password")
    cp "$dir/password" "$base/password"
    [ "$(id -u)" -ne 0 ] || chown "$server_user" "$base/password"
    as_server "${bin}initdb" -D "$base/data" --username=polku --pwfile="$base/password" --auth-local=trust \
        --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-instructions \
        >"$dir/initdb.log" 2>&1 </dev/null || {
        tail -n 20 "$dir/initdb.log" >&2
        die "initdb failed, see $dir/initdb.log"
    }
    rm -f "$base/password"
    as_server tee -a "$base/data/postgresql.conf" >/dev/null <<<"include 'polku.conf'"
    touch "$base/complete"
}

make_standby() {
    local base=$1
    [ ! -e "$base/complete" ] || return 0
    rm -rf "$base/data"
    cp "$primary/password" "$dir/password"
    as_server "${bin}pg_basebackup" -D "$base/data" -R -X stream -c fast -h "$(<"$primary/socket")" -p "$(<"$primary/port")" \
        -U polku --no-password >"$dir/initdb.log" 2>&1 </dev/null || {
        tail -n 20 "$dir/initdb.log" >&2
        die "pg_basebackup failed, see $dir/initdb.log"
    }
    touch "$base/complete"
}

# PostgreSQL wants its key for itself. Certificates of clients are asked for from this user only.
set_up_tls() {
    local base=$1 name
    for name in server.pem server.key ca.pem; do
        as_server tee "$base/data/$name" >/dev/null <"$certificates/$name"
        as_server chmod 0600 "$base/data/$name"
    done
    as_server grep -q polku_certificate "$base/data/pg_hba.conf" ||
        as_server sed -i '1i hostssl all polku_certificate 127.0.0.1/32 cert' "$base/data/pg_hba.conf"
    as_server tee -a "$base/data/polku.conf" >/dev/null <<EOF
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
ssl_ca_file = 'ca.pem'
ssl_min_protocol_version = 'TLSv1.2'
EOF
}

# The socket's folder has a short path of its own: a socket's path may have 107 bytes at most.
make_socket_folder() {
    local socket
    if [ -s "$dir/socket" ] && socket=$(<"$dir/socket") && [ -d "$socket" ]; then
        return 0
    fi
    socket=$(mktemp -d /tmp/polku-pg-socket.XXXXXX)
    give_to_server "$socket"
    echo "$socket" >"$dir/socket"
}

start_once() {
    local base=$1 port=$2
    as_server tee "$base/data/polku.conf" >/dev/null <<EOF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$(<"$dir/socket")'
unix_socket_permissions = 0700
fsync = $fsync
max_connections = 60
shared_buffers = '256MB'
max_wal_size = '4GB'
checkpoint_timeout = '15min'
wal_compression = lz4
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%a '
log_checkpoints = off
EOF
    [ -z "$certificates" ] || set_up_tls "$base"
    as_server "${bin}pg_ctl" start -D "$base/data" -w -t 60 -s -l "$base/server.log" </dev/null >/dev/null 2>&1 9>&-
}

start() {
    if runs; then
        conninfo
        return 0
    fi
    local base port try
    find_place
    base=$(place)
    if [ -n "$primary" ]; then
        make_standby "$base"
    else
        make_cluster "$base"
    fi
    make_socket_folder
    for try in {1..5}; do
        wait_until 20 is_buried "$base/data/postmaster.pid" || true
        port=$(free_port)
        if start_once "$base" "$port"; then
            echo "$port" >"$dir/port"
            echo "host=$(<"$dir/socket") port=$port user=polku dbname=postgres" >"$dir/conninfo"
            conninfo
            return 0
        fi
        sleep "0.$try" # an orphan of a killed server may need a moment to leave
    done
    tail -n 20 "$base/server.log" >&2
    die "PostgreSQL did not start, see $base/server.log"
}

stop() {
    local base
    if base=$(place) && [ -s "$base/data/postmaster.pid" ]; then
        as_server "${bin}pg_ctl" stop -D "$base/data" -m fast -w -t 60 -s >/dev/null 2>&1 ||
            as_server "${bin}pg_ctl" stop -D "$base/data" -m immediate -w -t 30 -s >/dev/null 2>&1 || true
    fi
    ! runs || die "PostgreSQL in $base does not stop"
    if [ -s "$dir/socket" ]; then
        rm -rf "$(<"$dir/socket")"
        rm -f "$dir/socket"
    fi
    rm -f "$dir/conninfo"
}

# A crash may leave an orphan for a moment, which the new server does not bear.
restart() {
    local base try
    base=$(place) || die "no cluster in $dir"
    as_server "${bin}pg_ctl" stop -D "$base/data" -m "$mode" -w -t 60 -s >/dev/null 2>&1 || true
    for try in {1..20}; do
        if as_server "${bin}pg_ctl" start -D "$base/data" -w -t 60 -s -l "$base/server.log" </dev/null >/dev/null 2>&1 9>&-; then
            return 0
        fi
        sleep 0.3
    done
    tail -n 20 "$base/server.log" >&2
    die "PostgreSQL did not start again, see $base/server.log"
}

promote() {
    local base
    base=$(place) || die "no cluster in $dir"
    as_server "${bin}pg_ctl" promote -D "$base/data" -w -t 60 -s >/dev/null || die "PostgreSQL in $base is not promoted"
}

# The parent first, lest it starts others.
crash() {
    local base pid children
    base=$(place) && [ -s "$base/data/postmaster.pid" ] && read -r pid <"$base/data/postmaster.pid" || die "no cluster runs in $dir"
    children=$(ps -o pid= --ppid "$pid" || true)
    # shellcheck disable=SC2086 # a list of numbers
    kill -9 "$pid" $children 2>/dev/null || true
    wait_until 20 is_buried "$base/data/postmaster.pid" || die "PostgreSQL in $base is not gone"
}

case "$command" in
start) start ;;
standby) start ;;
promote) promote ;;
crash) crash ;;
restart) restart ;;
stop) stop ;;
remove)
    stop
    ! base=$(place) || rm -rf "$base"
    rm -f "$dir/place" "$dir/port" "$dir/password" "$dir/initdb.log"
    rmdir "$dir" 2>/dev/null || true
    ;;
status) runs && conninfo ;;
*) usage ;;
esac
