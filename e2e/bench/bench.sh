#!/usr/bin/env bash
# make bench: measures the release build against parts of its own, beside which nothing else runs.
#
# ROWS, UPDATES, SECONDS_STEADY, KILLS and PEERS say how much is done (settings.rs). KEEP=1 leaves the parts running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export AFTERBAY_RIG_STATE=$PWD/target/bench-rig
export AFTERBAY_RIG_POSTGRES_PORT=${BENCH_POSTGRES_PORT:-26432}
export AFTERBAY_RIG_BROKER_PORT=${BENCH_BROKER_PORT:-26092}
export AFTERBAY_RIG_REGISTRY_PORT=${BENCH_REGISTRY_PORT:-26081}
export AFTERBAY_RIG_CONNECT_PORT=${BENCH_CONNECT_PORT:-26083}
# What is enough for tests makes a broker collect garbage more than it writes.
export AFTERBAY_RIG_BROKER_HEAP=${BENCH_BROKER_HEAP:-512m}

parts=(postgres broker registry)
take_down() {
    e2e/bench/peers/connect.sh down
    [[ -n ${KEEP:-} ]] || e2e/rig/rig down "${parts[@]}"
}

e2e/rig/install.sh
[[ ${PEERS:-0} == 0 ]] || e2e/bench/peers/install.sh
target=${CARGO_TARGET_DIR:-target}
# What transactions cost is measured with a worker that has none. It is built first, and put aside.
cargo build --release -p operator -p sink-runtime -p afterbay-e2e --bins --features sink-runtime/without-transactions
WITHOUT_TRANSACTIONS=$(realpath "$target/release")/sink-runtime-without-transactions
export WITHOUT_TRANSACTIONS
cp "$target/release/sink-runtime" "$WITHOUT_TRANSACTIONS"
cargo build --release -p operator -p sink-runtime -p afterbay-e2e --bins
trap take_down EXIT
e2e/rig/rig up "${parts[@]}"
AFTERBAY_E2E_BIN=$(realpath "$target/release") "$target/release/bench"
