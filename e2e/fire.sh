#!/usr/bin/env bash
# The fire test, so many rounds, on a rig of its own that may run beside everything else.
#
#   e2e/fire.sh ROUNDS
#
# AFTERBAY_FIRE_SEED plays a campaign again; AFTERBAY_FIRE_FAULT="broker killed" plays that fault only; KEEP=1 leaves the
# rig running. The rounds are added to
# target/fire/rounds.jsonl, and docs/reliability.md tells of all that are in there: remove it to begin anew. What failures
# leave behind is in target/fire.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export AFTERBAY_RIG_STATE=${AFTERBAY_RIG_STATE:-target/fire-rig}
export AFTERBAY_RIG_POSTGRES_PORT=${AFTERBAY_RIG_POSTGRES_PORT:-24432}
export AFTERBAY_RIG_BROKER_PORT=${AFTERBAY_RIG_BROKER_PORT:-24092}
export AFTERBAY_RIG_REGISTRY_PORT=${AFTERBAY_RIG_REGISTRY_PORT:-24081}
export AFTERBAY_FIRE_ROUNDS=${1:-300}
export AFTERBAY_FIRE_RESULTS=${AFTERBAY_FIRE_RESULTS:-target/fire/rounds.jsonl}
export AFTERBAY_FIRE_PAGE=${AFTERBAY_FIRE_PAGE:-docs/reliability.md}
# Who has the programs has them of the workspace's build, to which the test then belongs.
select=(-p afterbay-e2e)
[[ -z ${AFTERBAY_E2E_BIN:-} ]] || select=(--workspace --features sink-runtime/fault-points)
failed=0
{
    e2e/rig/rig up postgres broker registry &&
        cargo test "${select[@]}" --test fire -- --nocapture every_change_stands_once
} || failed=$?
[[ -n ${KEEP:-} ]] || e2e/rig/rig fresh postgres broker registry || failed=$?
exit "$failed"
