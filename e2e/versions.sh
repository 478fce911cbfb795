#!/usr/bin/env bash
# The tests in which the version of Postgres shows, against the oldest and the newest that is supported.
# The other parts of the rig must be up. Arguments and AFTERBAY_E2E_BIN are as for the tests themselves.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0
for version in 13 18; do
    e2e/rig/rig up "postgres-$version"
    port=AFTERBAY_RIG_POSTGRES_${version}_PORT
    (
        eval "$(e2e/rig/rig env)"
        export AFTERBAY_RIG_POSTGRES_PORT=${!port}
        printf 'Postgres %s\n' "$version"
        cargo test "$@" --test promises -- --test-threads=4 \
            types:: envelopes:: debezium:: tables:: table_changes:: snapshot_and_stream:: progress:: \
            chunks::keys_of chunks::rows_that chunks::a_primary_key \
            interleavings::chunks_in_flight interleavings::positions interleavings::visibility::case_02 \
            refusals::resnapshot::all_rows refusals::failover::a_server --skip many_tables::
    ) || failed=$?
    e2e/rig/rig down "postgres-$version"
done
exit "$failed"
