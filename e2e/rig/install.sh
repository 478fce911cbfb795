#!/usr/bin/env bash
# Installs what the tests and the demo need besides Rust: Postgres in three versions, Java, nginx, Kafka's jars, a schema
# registry, a Python with the reference clients. Does nothing where all is there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repository"

command -v cargo >/dev/null || fail 'cargo is missing: install Rust with rustup, which reads rust-toolchain.toml'

# A distribution without Java 21 may have a newer one; it replaces that name among the missing.
newest_java() {
    local name
    name=$(apt-cache pkgnames openjdk- | sed -nE '/^openjdk-(2[1-9]|[3-9][0-9])-jre-headless$/p' | sort -V | tail -n 1)
    [[ -n $name ]] || fail 'no package has Java 21 or newer: put one into /usr/lib/jvm, or set JAVA_HOME'
    missing=("${missing[@]/#openjdk-21-jre-headless/$name}")
}

missing=()
needs() { "${@:2}" >/dev/null 2>&1 || missing+=("$1"); }
needs postgresql test -d /usr/lib/postgresql
needs postgresql-contrib bash -c 'ls /usr/share/postgresql/*/extension/hstore.control'
needs libssl-dev test -e /usr/include/openssl/ssl.h
needs zlib1g-dev test -e /usr/include/zlib.h
needs libzstd-dev test -e /usr/include/zstd.h
needs gcc command -v gcc
needs pkg-config command -v pkg-config
needs g++ command -v g++
needs make command -v make
needs nginx-light command -v nginx
needs curl command -v curl
needs openssl command -v openssl
needs maven command -v mvn
needs python3-venv python3 -c 'import ensurepip'
# The registry needs Java 21, the broker 17; one that is new enough for both will do.
java_of 21 >/dev/null || missing+=(openjdk-21-jre-headless)
if [[ ${#missing[@]} -gt 0 ]]; then
    [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null || fail "these packages are missing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    java_of 21 >/dev/null || newest_java
    # The rig runs servers of its own; the distribution's are not to be started.
    mkdir -p /etc/postgresql-common
    grep -qs '^create_main_cluster' /etc/postgresql-common/createcluster.conf ||
        echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

stamp=$state/installed
wanted=$(cat "$here/pom.xml" "$here/install.sh" "$repository/e2e/reference/requirements.txt" | sha256sum)
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && exit 0
mkdir -p "$state"

# Some poms name repositories of their own: all of them are sent to Maven's own central one.
central=$(cd "$here" && mvn -B -q -DforceStdout help:evaluate -Dexpression='project.repositories[0].url' |
    sed 's/\x1b\[[0-9;]*m//g' | tr -d '[:cntrl:]')
cat >"$state/settings.xml" <<XML
<settings><mirrors><mirror><id>central-only</id><mirrorOf>*</mirrorOf><url>$central</url></mirror></mirrors></settings>
XML
maven=(mvn -B -q -Dstyle.color=never -s "$state/settings.xml")
if [[ ! -d $state/kafka ]]; then
    (cd "$here" && "${maven[@]}" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$state/kafka.new")
    mv "$state/kafka.new" "$state/kafka"
fi
if [[ ! -d $state/registry ]]; then
    artifact=io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all
    "${maven[@]}" dependency:copy -Dartifact=$artifact -DoutputDirectory="$state/download"
    rm -rf "$state/registry.new" && mkdir -p "$state/registry.new"
    tar xzf "$state/download/apicurio-registry-app-$registry_version-all.tar.gz" -C "$state/registry.new"
    rm -r "$state/download"
    mv "$state/registry.new" "$state/registry"
fi
# The oldest and the newest Postgres that is supported, beside the distribution's.
case $(uname -m) in x86_64) machine=amd64 ;; aarch64) machine=arm64v8 ;; *) fail "no Postgres for $(uname -m)" ;; esac
for version in 13.22.0 18.0.0; do
    place=$state/postgres-${version%%.*}
    [[ ! -d $place ]] || continue
    artifact=io.zonky.test.postgres:embedded-postgres-binaries-linux-$machine:$version
    "${maven[@]}" dependency:copy -Dartifact="$artifact" -DoutputDirectory="$state/download"
    rm -rf "$place.new"
    python3 - "$state/download/embedded-postgres-binaries-linux-$machine-$version.jar" "$place.new" <<'PYTHON'
import sys, tarfile, zipfile
with zipfile.ZipFile(sys.argv[1]) as jar:
    archive = next(name for name in jar.namelist() if name.endswith(".txz"))
    with jar.open(archive) as packed, tarfile.open(fileobj=packed, mode="r:xz") as programs:
        programs.extractall(sys.argv[2])
PYTHON
    rm -r "$state/download"
    mv "$place.new" "$place"
done
[[ -x $state/venv/bin/python ]] || python3 -m venv "$state/venv"
"$state/venv/bin/pip" install -q --disable-pip-version-check -r "$repository/e2e/reference/requirements.txt"
printf '%s' "$wanted" >"$stamp"
