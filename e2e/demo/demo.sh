#!/usr/bin/env bash
# make demo: a shop's tables carried into Kafka topics, on real parts, with the worker killed in the middle, and counted.
#
# KEEP=1 leaves everything running and says how to connect. The exit status is 0 only if the count is right.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export AFTERBAY_DEMO_DIR="$PWD/target/demo"
mkdir -p "$AFTERBAY_DEMO_DIR"
build_log=$AFTERBAY_DEMO_DIR/build.log

heading() {
    if [[ -t 1 ]]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

# Says what it does, and shows what was said only if it fails.
quietly() {
    local what=$1 started=$SECONDS
    shift
    printf '  %s … ' "$what"
    if "$@" >"$build_log" 2>&1; then
        printf 'done (%s s)\n' $((SECONDS - started))
    else
        printf 'failed\n'
        tail -n 30 "$build_log"
        exit 1
    fi
}

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
