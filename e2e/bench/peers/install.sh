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
# The converter does not say in the way of Java's ServiceLoader that it is one; a jar that does spares Connect a scan.
python3 - "$plugins/avro/service.jar" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as jar:
    service = "META-INF/services/org.apache.kafka.connect.storage.Converter"
    jar.writestr(service, "io.apicurio.registry.utils.converter.AvroConverter\n")
PYTHON
printf '%s' "$wanted" >"$stamp"
