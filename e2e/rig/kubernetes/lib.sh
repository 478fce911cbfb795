# What the scripts of the cluster share, beside what all scripts of the rig share: places, addresses, namespaces.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

kubernetes=$here/kubernetes
# What is built, once for all clusters; and what is one cluster's own: processes, data, logs, certificates.
programs=$repository/target/kubernetes/bin
state=${AFTERBAY_KUBERNETES_STATE:-$repository/target/kubernetes}
[[ $state == /* ]] || state=$repository/$state
# The cluster is a network of its own, from which no way leads out: so these are free.
node=rig
node_address=10.89.0.1
pods=10.244.0.0/24
services=10.96.0.0/16
first_service=10.96.0.1
dns_service=10.96.0.10
# Clusters of several checkouts run beside each other, and each kubelet ends what it does not know below its root.
cgroup_root=afterbay-rig-$(cksum <<<"$state" | cut -d ' ' -f 1)
authority=$state/authority
settings=$state/settings

# Whether the tests use a cluster that somebody else has brought up, which KUBECONFIG names.
given() { [[ ${AFTERBAY_E2E_CLUSTER:-own} == given ]]; }

# Whether this is a process of the cluster's own namespaces.
inside() { [[ -n ${AFTERBAY_KUBERNETES_INSIDE:-} ]]; }

# Becomes a program in the namespaces of the cluster: its network, its mounts, its processes. The parts of the rig are
# those that run there.
enter() {
    if inside || given; then
        given && export AFTERBAY_RIG_STATE=$state/parts
        PATH=$PATH:$programs exec "$@"
    fi
    is_up init kubernetes/init.sh || fail "the cluster is not up: run e2e/rig/kubernetes/rig up"
    local variables=(
        AFTERBAY_KUBERNETES_INSIDE=1 "AFTERBAY_RIG_STATE=$state/parts" "AFTERBAY_RIG_HOST=$node_address"
        "KUBECONFIG=$authority/admin.kubeconfig" "PATH=$programs:$PATH"
    )
    # nsenter waits outside, and hands no signal on: what it has started ends when it does.
    exec nsenter -t "$(<"$state/run/init.pid")" -n -m -p --wd="$PWD" \
        env "${variables[@]}" setpriv --pdeathsig KILL "$@"
}

# Runs a program there.
within() { (enter "$@"); }
