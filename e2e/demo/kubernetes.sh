#!/usr/bin/env bash
# make demo-kubernetes: the same shop in a real cluster. Helm installs the operator, kubectl applies the quickstart, the worker's
# pod is deleted by force in the middle, and everything is counted.
#
# KEEP=1 leaves everything running and says how to connect. The exit status is 0 only if the count is right.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source e2e/demo/steps.sh

cluster=e2e/rig/kubernetes/rig
take_down() { [[ -n ${KEEP:-} || -n ${was_up:-} ]] || "$cluster" fresh >>"$build_log" 2>&1 || true; }
trap take_down EXIT

heading 'A cluster'
quietly 'installing what is missing' e2e/rig/install.sh kubernetes
quietly 'building afterbay and sink-runtime' cargo build --workspace --bins
quietly "building Kubernetes (the first time some minutes)" e2e/rig/kubernetes/build.sh
was_up=$("$cluster" status >/dev/null 2>&1 && echo yes || true)
quietly 'starting it, with Postgres, Kafka and registry in its network' "$cluster" up
quietly 'the image, on its node' "$cluster" image dev target/debug

eval "$("$cluster" in e2e/rig/rig env)"
"$cluster" in target/rig/venv/bin/python e2e/demo/cluster.py
