#!/usr/bin/env bash
# make bench-operator: the release build of the operator on the rig's cluster, which stays up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

e2e/rig/install.sh kubernetes
cargo build --release -p operator -p afterbay-e2e --bin afterbay --bin bench-operator
e2e/rig/kubernetes/rig up
AFTERBAY_E2E_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/release")
export AFTERBAY_E2E_BIN
e2e/rig/kubernetes/rig in "$AFTERBAY_E2E_BIN/bench-operator"
