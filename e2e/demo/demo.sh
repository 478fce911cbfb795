#!/usr/bin/env bash
# make demo: a shop's tables carried into Kafka topics, on real parts, with the worker killed in the middle, and counted.
#
# KEEP=1 leaves everything running and says how to connect. The exit status is 0 only if the count is right.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

source e2e/demo/steps.sh

# The parts that this demo brings up are those that it takes down.
parts=()
take_down() {
    if [[ -z ${KEEP:-} && ${#parts[@]} -gt 0 ]]; then
        e2e/rig/rig down "${parts[@]}" >>"$build_log" 2>&1 || true
    fi
}
trap take_down EXIT

heading 'Parts'
quietly 'installing what is missing' e2e/rig/install.sh
quietly 'building afterbay and sink-runtime' cargo build --workspace --bins
for part in postgres broker registry; do
    if ! e2e/rig/rig status "$part" >/dev/null 2>&1; then
        parts+=("$part")
    fi
done
if [[ ${#parts[@]} -gt 0 ]]; then
    quietly "starting ${parts[*]}" e2e/rig/rig up "${parts[@]}"
fi
eval "$(e2e/rig/rig env)"

target/rig/venv/bin/python e2e/demo/story.py
