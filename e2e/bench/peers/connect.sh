#!/usr/bin/env bash
# Kafka Connect with exactly-once on, beside the benchmark's other parts: connect.sh up|down
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../rig/lib.sh"
peers=$repository/e2e/bench/peers
port=${AFTERBAY_RIG_CONNECT_PORT:-28083}

up() {
    local java settings=$state/run/connect.properties
    java=$(java_of 17) || fail 'no java of at least version 17: run e2e/rig/install.sh'
    is_up connect connect.properties && return
    free_port connect "$port"
    mkdir -p "$state/run"
    {
        cat "$peers/worker.properties"
        echo "bootstrap.servers=$host:$broker_port"
        echo "listeners=http://$host:$port"
        echo "plugin.path=$installed/peers"
    } >"$settings"
    spawn connect "$java" -Xms256m -Xmx1g -XX:+UseG1GC "-Dlog4j2.configurationFile=$here/log4j2.yaml" \
        -cp "$installed/kafka/*" org.apache.kafka.connect.cli.ConnectDistributed "$settings"
    await connect 240 curl -sf "http://$host:$port/connectors"
}

case ${1:-} in
    up) up ;;
    down) end_process connect connect.properties ;;
    *) sed -n '2s/^# //p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
