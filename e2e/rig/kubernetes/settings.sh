# Files of settings of the cluster's components.
# shellcheck shell=bash

# Where the distribution puts the plugins of the network.
network_plugins() {
    local place
    for place in /usr/lib/cni /opt/cni/bin; do
        [[ ! -x $place/bridge ]] || { printf '%s' "$place"; return; }
    done
    fail 'no CNI plugins in /usr/lib/cni: run e2e/rig/install.sh kubernetes'
}

write_settings() {
    mkdir -p "$settings/network"
    cat >"$settings/containerd.toml" <<CONF
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # Where root has not all rights, as in a virtual machine or a container, nobody's score can be lowered.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(network_plugins)"
    conf_dir = "$settings/network"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
CONF
    cat >"$settings/network/10-rig.conflist" <<CONF
{"cniVersion": "0.4.0", "name": "rig", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "isDefaultGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pods"}]], "dataDir": "/run/cni"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CONF
    # protectKernelDefaults: the kubelet sets nothing for the whole machine. What it looks at is in init.sh.
    cat >"$settings/kubelet.yaml" <<CONF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $authority/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup_root
failCgroupV1: false
failSwapOn: false
protectKernelDefaults: true
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [$dns_service]
clusterDomain: cluster.local
oomScoreAdj: 0
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
serializeImagePulls: false
CONF
    cat >"$settings/kube-proxy.yaml" <<CONF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $authority/kube-proxy.kubeconfig}
clusterCIDR: $pods
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 0s, syncPeriod: 30s}
oomScoreAdj: 0
CONF
    # Who asked for what, for tests that count: not what the cluster asks of itself, and nothing of the content.
    cat >"$settings/audit.yaml" <<CONF
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy"]}
  - {level: None, userGroups: ["system:nodes", "system:serviceaccounts:kube-system", "system:unauthenticated"]}
  - {level: None, nonResourceURLs: ["*"]}
  - {level: Metadata}
CONF
}
