#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kafka.sh - a real Apache Kafka (KRaft) on 127.0.0.1, from Maven's artifacts, in a folder.
#
#   kafka.sh fetch CACHE [VERSION]        copies the jars to CACHE (once); exit code 3: Maven reaches no repository
#   kafka.sh start DIR CACHE [--nodes N]  starts N nodes (default 1, or 3), prints the bootstrap address
#      with --secure CERTIFICATES USER=PASSWORDFILE[,...] each node has a second listener: see below
#   kafka.sh topic DIR NAME PARTITIONS [NAME=VALUE...]    makes a topic, in all its replicas
#   kafka.sh stop DIR                     stops the nodes; the data stay, and start goes on with them
#   kafka.sh kill-node DIR N              kill -9 of one node
#   kafka.sh stop-node DIR N              stops one node in order: it hands its leaderships over
#   kafka.sh start-node DIR N             starts one node again, on the same ports
#   kafka.sh elect DIR                    gives every leadership back to the first replica
#   kafka.sh remove DIR                   stops the nodes and deletes the data
#   kafka.sh status DIR                   prints the bootstrap address; exit code 1 when not all nodes run
#   kafka.sh proxied DIR                  prints PORT=TARGET of each node: a second listener that tells its clients to come
#                                         to PORT, where a fault proxy for TARGET is expected
#
# Every node is broker and controller. Nothing is ever deleted by age, because the tests publish old and
# future times; topics that nobody made come into being with 6 partitions. Needs Java 17 and, for fetch, Maven.
#
# The secure listener (DIR/nodeN/secure holds its port) speaks TLS with the certificate of certificates.sh, for the name
# `localhost`, and takes the users by SCRAM-SHA-512 and PLAIN; another (DIR/nodeN/mutual) takes certificates of clients. They may
# do nothing until an ACL allows it; the plain listener may do all.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/lib.sh"

usage() {
    sed -n '3,24s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
[ $# -ge 2 ] || usage
command=$1
dir=$(absolute "$2")
certificates= users=
shift 2

fetch() {
    local pom=$here/kafka/pom.xml
    if cmp -s "$pom" "$dir/pom.xml"; then # a folder has one version for all times
        return 0
    fi
    command -v mvn >/dev/null || die "Maven is missing: deploy/packages.sh test"
    say "Fetching Apache Kafka with Maven"
    rm -rf "$dir/new" "$dir/libs" "$dir/pom.xml"
    if ! mvn -B -q -f "$pom" ${1:+-Dkafka.version="$1"} dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$dir/new" >"$dir/maven.log" 2>&1 </dev/null; then
        grep -m 5 ERROR "$dir/maven.log" >&2 || tail -n 5 "$dir/maven.log" >&2
        say "Maven cannot fetch Apache Kafka, see $dir/maven.log"
        return 3
    fi
    mv "$dir/new" "$dir/libs"
    cp "$pom" "$dir/pom.xml"
}

java_home() {
    local candidate
    for candidate in "${JAVA_HOME:-}" /usr/lib/jvm/java-17-openjdk-* ''; do
        if [ -x "$candidate/bin/java" ]; then
            echo "$candidate/bin/"
            return
        fi
    done
}

# jvm HEAP MAIN-CLASS ARGUMENTS... - becomes that program.
jvm() {
    local heap=$1
    shift
    mkdir -p "$dir/tmp"
    exec ${session:+setsid} "$(java_home)java" -Xmx"$heap" -XX:+UseSerialGC -XX:-UsePerfData \
        -Djava.awt.headless=true -Djava.io.tmpdir="$dir/tmp" \
        -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" -cp "$(<"$dir/cache")/libs/*" "$@"
}

nodes() {
    cat "$dir/nodes"
}

mark() {
    echo "kafka.Kafka $dir/node$1/server.properties"
}

node_runs() {
    is_running "$dir/node$1/pid" "$(mark "$1")"
}

bootstrap() {
    local n list=
    for ((n = 1; n <= $(nodes); n++)); do
        list+=,127.0.0.1:$(<"$dir/node$n/port")
    done
    echo "${list#,}"
}

all_run() {
    local n
    [ -s "$dir/nodes" ] || return 1
    for ((n = 1; n <= $(nodes); n++)); do
        node_runs "$n" || return 1
    done
}

# Every node answers, and knows all of them.
is_ready() {
    local n
    for ((n = 1; n <= $(nodes); n++)); do
        [ "$(kcat -L -m 2 -b "127.0.0.1:$(<"$dir/node$n/port")" 2>/dev/null | grep -c '^  broker ')" -eq "$(nodes)" ] ||
            return 1
    done
}

configure() {
    local n voters='' count minimum
    count=$(nodes)
    minimum=$((count > 1 ? 2 : 1))
    for ((n = 1; n <= count; n++)); do
        mkdir -p "$dir/node$n"
        free_port >"$dir/node$n/port"
        free_port >"$dir/node$n/controller"
        if [ -n "$certificates" ]; then
            free_port >"$dir/node$n/secure"
            free_port >"$dir/node$n/mutual"
        fi
        free_port >"$dir/node$n/proxied"
        free_port >"$dir/node$n/proxy"
        voters+=,$n@127.0.0.1:$(<"$dir/node$n/controller")
    done
    for ((n = 1; n <= count; n++)); do
        local port controller proxied
        port=$(<"$dir/node$n/port")
        proxied=$(<"$dir/node$n/proxied")
        controller=$(<"$dir/node$n/controller")
        cat >"$dir/node$n/server.properties" <<EOF
process.roles=broker,controller
node.id=$n
controller.quorum.voters=${voters#,}
listeners=PLAINTEXT://127.0.0.1:$port,PROXIED://127.0.0.1:$proxied,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port,PROXIED://127.0.0.1:$(<"$dir/node$n/proxy")
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/node$n/data
num.partitions=6
default.replication.factor=$count
min.insync.replicas=$minimum
offsets.topic.num.partitions=6
offsets.topic.replication.factor=$count
transaction.state.log.num.partitions=6
transaction.state.log.replication.factor=$count
transaction.state.log.min.isr=$minimum
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=$count
share.coordinator.state.topic.min.isr=$minimum
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.ms=-1
log.message.timestamp.before.max.ms=9223372036854775807
log.message.timestamp.after.max.ms=9223372036854775807
log.segment.bytes=134217728
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=4
background.threads=2
broker.session.timeout.ms=6000
EOF
        local scram=() user
        if [ -n "$certificates" ]; then
            configure_secure "$n"
            for user in ${users//,/ }; do
                scram+=(--add-scram "SCRAM-SHA-512=[name=${user%%=*},password=$(<"${user#*=}")]")
            done
        fi
        jvm 128m kafka.tools.StorageTool format "${scram[@]}" --cluster-id "$(<"$dir/cluster")" \
            --config "$dir/node$n/server.properties" >"$dir/node$n/format.log" 2>&1 </dev/null &
    done
    wait
    for ((n = 1; n <= count; n++)); do
        [ -s "$dir/node$n/data/meta.properties" ] || {
            tail -n 20 "$dir/node$n/format.log" >&2
            die "Kafka's storage could not be formatted"
        }
    done
}

configure_secure() {
    local settings=$dir/node$1/server.properties port mutual user
    port=$(<"$dir/node$1/secure")
    mutual=$(<"$dir/node$1/mutual")
    sed -i -e "s|^listeners=.*|&,SECURE://127.0.0.1:$port,MUTUAL://127.0.0.1:$mutual|" -e "s|^advertised.listeners=.*|&,SECURE://localhost:$port,MUTUAL://localhost:$mutual|" \
        -e 's|^listener.security.protocol.map=.*|&,SECURE:SASL_SSL,MUTUAL:SSL|' "$settings"
    cat >>"$settings" <<EOF
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required$(
        for user in ${users//,/ }; do
            printf ' user_%s="%s"' "${user%%=*}" "$(<"${user#*=}")"
        done
    );
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.mutual.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location=$certificates/server-all.pem
ssl.truststore.type=PEM
ssl.truststore.location=$certificates/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
connection.failed.authentication.delay.ms=100
EOF
    chmod 0600 "$settings"
}

# In a session of its own, so that the caller's Ctrl-C reaches the caller only.
start_node() {
    (session=yes jvm 512m kafka.Kafka "$dir/node$1/server.properties") </dev/null >>"$dir/node$1/log" 2>&1 9>&- &
    echo $! >"$dir/node$1/pid"
}

start() {
    local cache count=1 n try
    [ $# -ge 1 ] || usage
    cache=$(absolute "$1")
    shift
    while [ $# -gt 0 ]; do
        case "$1" in
        --nodes)
            need_value "$@"
            count=$2
            shift
            ;;
        --secure)
            [ $# -ge 3 ] || usage
            certificates=$(absolute "$2")
            users=$3
            shift 2
            ;;
        *) usage ;;
        esac
        shift
    done
    [ -e "$cache/pom.xml" ] || die "no Kafka in $cache: kafka.sh fetch $cache"
    command -v kcat >/dev/null || die "kcat is missing: deploy/packages.sh run"
    if all_run && [ "$(nodes)" = "$count" ]; then
        bootstrap
        return
    fi
    stop
    echo "$cache" >"$dir/cache"
    for try in 1 2 3; do
        # A folder that was made in full goes on with its ports and data; else it is made anew.
        if [ ! -e "$dir/complete" ] || [ "$(nodes)" != "$count" ] || [ "$try" -gt 1 ]; then
            rm -rf "$dir/complete" "$dir"/node*
            echo "$count" >"$dir/nodes"
            head -c 16 /dev/urandom | base64 | tr '/+' '_-' | tr -d '=' | sed 's/^-/A/' >"$dir/cluster"
            configure
        fi
        for ((n = 1; n <= count; n++)); do
            start_node "$n"
        done
        if wait_until 60 ready_or_dead && all_run; then
            touch "$dir/complete"
            bootstrap
            return
        fi
        tail -n 5 "$dir"/node*/log >&2
        stop
    done
    die "Kafka did not start, see $dir"
}

# Right after the start a node is not yet known by its command line, but by being our child.
ready_or_dead() {
    local n
    for ((n = 1; n <= $(nodes); n++)); do
        kill -0 "$(<"$dir/node$n/pid")" 2>/dev/null || return 0
    done
    is_ready
}

stop() {
    local n
    [ -s "$dir/nodes" ] || return 0
    for ((n = 1; n <= $(nodes); n++)); do
        ! node_runs "$n" || kill "$(<"$dir/node$n/pid")" 2>/dev/null || true
    done
    for ((n = 1; n <= $(nodes); n++)); do
        # The last nodes of several lose their quorum and would wait for it in vain. What was
        # acknowledged is in the page cache, so a killed node loses nothing either.
        stop_process "$dir/node$n/pid" "$(mark "$n")" $(($(nodes) > 1 ? 4 : 20))
    done
}

topic() {
    [ $# -ge 2 ] || usage
    local name=$1 partitions=$2 setting arguments=()
    shift 2
    for setting in "$@"; do
        arguments+=(--config "$setting")
    done
    jvm 256m org.apache.kafka.tools.TopicCommand --bootstrap-server "$(bootstrap)" --create --if-not-exists \
        --topic "$name" --partitions "$partitions" "${arguments[@]}" >/dev/null
}

proxied() {
    local n
    for ((n = 1; n <= $(nodes); n++)); do
        echo "$(<"$dir/node$n/proxy")=127.0.0.1:$(<"$dir/node$n/proxied")"
    done
}

case "$command" in
fetch) fetch "$@" ;;
start) start "$@" ;;
topic) topic "$@" ;;
stop) stop ;;
kill-node)
    ! node_runs "$1" || kill -9 "$(<"$dir/node$1/pid")"
    stop_process "$dir/node$1/pid" "$(mark "$1")" 10
    ;;
stop-node)
    ! node_runs "$1" || kill "$(<"$dir/node$1/pid")"
    stop_process "$dir/node$1/pid" "$(mark "$1")" 30
    ;;
elect)
    jvm 256m org.apache.kafka.tools.LeaderElectionCommand --bootstrap-server "$(bootstrap)" \
        --election-type preferred --all-topic-partitions >/dev/null 2>&1 || true # none to move is an error to it
    ;;
start-node)
    node_runs "$1" || start_node "$1"
    wait_until 60 is_ready || die "node $1 did not come back, see $dir/node$1/log"
    ;;
remove)
    stop
    rm -rf "$dir"
    ;;
status) all_run && bootstrap ;;
proxied) proxied ;;
*) usage ;;
esac
