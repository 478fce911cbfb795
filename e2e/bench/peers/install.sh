#!/usr/bin/env bash
# Installs what the peers need besides the rig: Debezium's connector, and a converter to Avro, as plugins of Kafka Connect.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../rig/lib.sh"
peers=$repository/e2e/bench/peers
plugins=$installed/peers
stamp=$plugins/installed
wanted=$(cat "$peers"/*.pom.xml "$peers/install.sh" | sha256sum)
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && exit 0

rm -rf "$plugins"
for plugin in debezium avro; do
    mkdir -p "$plugins/$plugin"
    mvn -B -q -Dstyle.color=never -s "$installed/settings.xml" -f "$peers/$plugin.pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DexcludeGroupIds=org.apache.kafka -DoutputDirectory="$plugins/$plugin"
done
# What Connect has itself must not stand beside Debezium a second time: Jackson's classes would clash.
(cd "$plugins/debezium" && rm -f jackson-core* jackson-databind* jackson-annotations* slf4j* lz4* snappy* zstd* jakarta.ws.rs*)
printf '%s' "$wanted" >"$stamp"
