#!/usr/bin/env bash
# The first process of the cluster's namespaces: makes its mounts and its network, and then only waits. When it is killed
# all of the cluster is gone, with its mounts and its interfaces.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

data=$state/data
mkdir -p "$data"/{containerd,kubelet,log,sysctl} /var/lib/containerd /var/lib/kubelet

# --- mounts. /sys shows the interfaces of the network that it is mounted in; the groups of processes are the machine's.
groups=$data/cgroup
mkdir -p "$groups"
mount --rbind /sys/fs/cgroup "$groups"
mount -t sysfs sysfs /sys
mount --rbind "$groups" /sys/fs/cgroup
umount -l "$groups"
mount -t tmpfs tmpfs /run
mount --bind "$data/kubelet" /var/lib/kubelet
mount --make-rshared /var/lib/kubelet
mount --bind "$data/containerd" /var/lib/containerd
mount --bind "$data/log" /var/log

# No way leads out, so nobody can be asked for names. Without these files programs would ask, and wait: Kafka's brokers ask
# for the name of their own address when they let somebody in.
instead_of() {
    local place
    place=$(realpath -m "$1")
    [[ -e $place ]] || { mkdir -p "${place%/*}" && touch "$place"; }
    cat >"$data/${1##*/}"
    mount --bind "$data/${1##*/}" "$place"
}
instead_of /etc/resolv.conf <<<'nameserver 127.0.0.1'
instead_of /etc/hosts <<<"127.0.0.1 localhost $(hostname)
$node_address $node"

# The kubelet wants some settings of the machine to be as it knows them. In here they look so; the machine keeps its own.
pretend() {
    echo "$2" >"$data/sysctl/$1"
    mount --bind "$data/sysctl/$1" "/proc/sys/${1//.//}"
}
pretend vm.overcommit_memory 1
pretend vm.panic_on_oom 0
pretend kernel.panic 10
pretend kernel.panic_on_oops 1
pretend kernel.keys.root_maxkeys 1000000
pretend kernel.keys.root_maxbytes 25000000

# --- network: a node with an address that pods reach. There is nobody at the gateway.
ip link set lo up
ip link add node0 type bridge
ip address add "$node_address/24" dev node0
ip link set node0 up
ip route add default via "${node_address%.*}.254" dev node0
sysctl -qw net.ipv4.ip_forward=1
# Not every kernel has it apart; where it is missing, services do not answer pods of the same node.
sysctl -qw net.bridge.bridge-nf-call-iptables=1 || true

touch /run/namespaces-are-made
# Whoever has lost its parent becomes a child of this process, which the shell takes leave of.
while true; do
    sleep 3600 &
    wait
done
