#!/usr/bin/env bash
# make bench-operator: the release build of the operator on the rig's cluster, which stays up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

e2e/rig/install.sh kubernetes
# What make bench builds, so that nothing is built twice.
cargo build --release -p operator -p sink-runtime -p afterbay-e2e --bins
e2e/rig/kubernetes/rig up
AFTERBAY_E2E_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/release")
export AFTERBAY_E2E_BIN
e2e/rig/kubernetes/rig in "$AFTERBAY_E2E_BIN/bench-operator"
