#!/usr/bin/env bash
# Builds the programs of the cluster from their Go modules, once, into target/kubernetes/bin: one for all of Kubernetes
# and etcd, and CoreDNS and helm; and brings definitions of others there. What is there and was built of the same sources is kept.
#
#   build.sh            waits for a build that is under way
#   build.sh begin      builds in the background, into target/kubernetes/bin/build.log; the next build.sh tells what came of it
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

helm=helm.sh/helm/v3/cmd/helm@v3.19.5
prometheus=github.com/prometheus-operator/prometheus-operator@v0.76.2
components=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

given && exit
log=$programs/build.log
if [[ ${1:-} == begin ]]; then
    mkdir -p "$programs"
    setsid "$kubernetes/build.sh" >"$log" 2>&1 </dev/null &
    exit
fi
mkdir -p "$programs"
exec 8>"$programs/lock"
if ! flock -n 8; then
    printf 'rig: the programs of the cluster are being built, see %s\n' "$log" >&2
    flock 8
fi

# Whether a program is there that was made of the same.
is_built() { [[ -x $programs/$1 && -f $programs/$1.made-of && $(<"$programs/$1.made-of") == "$2" ]]; }

build() {
    local name=$1 made_of=$2
    shift 2
    ! is_built "$name" "$made_of" || return 0
    command -v go >/dev/null || fail 'go is missing: install Go 1.25 or newer'
    printf 'rig: building %s\n' "$name" >&2
    local begun=$SECONDS
    CGO_ENABLED=0 GOFLAGS=-buildvcs=false "$@"
    printf '%s' "$made_of" >"$programs/$name.made-of"
    printf 'rig: %s is built, in %s s\n' "$name" "$((SECONDS - begun))" >&2
}

module() {
    local name=$1 folder=$kubernetes/programs/$1 made_of
    shift
    made_of=$(cat "$folder"/* <(printf '%s' "$*") | sha256sum)
    build "$name" "$made_of" go build -C "$folder" -trimpath -o "$programs/$name" "$@" .
}

# The programs ask the build what they are: the API server tells clients so, and the others look at it.
release=$(sed -n 's#^\tk8s.io/kubernetes v##p' "$kubernetes/programs/cluster/go.mod")
minor=${release#*.}
versions=
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    versions+=" -X $package.gitVersion=v$release -X $package.gitMajor=${release%%.*} -X $package.gitMinor=${minor%%.*}"
    versions+=" -X $package.gitTreeState=clean -X $package.gitCommit=unknown -X $package.buildDate=1970-01-01T00:00:00Z"
done
module cluster -tags selinux,notest,grpcnotrace -ldflags "-s -w$versions"
module dns -ldflags '-s -w'
build helm "$helm" env GOBIN="$programs" go install -trimpath -ldflags '-s -w' "$helm"
for component in "${components[@]}"; do
    ln -sf cluster "$programs/$component"
done
# The definitions of Prometheus' operator: of its kinds the chart makes some.
foreign_definitions() {
    local folder
    folder=$(go mod download -json "$prometheus" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    mkdir -p "$programs/foreign"
    install -m 644 "$folder"/example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,prometheusrules}.yaml \
        "$programs/foreign"
}
build foreign "$prometheus" foreign_definitions
# What holds a pod's namespaces while its containers come and go.
build pause "$(sha256sum <"$kubernetes/programs/pause.c")" \
    gcc -static -Os -s -o "$programs/pause" "$kubernetes/programs/pause.c"
