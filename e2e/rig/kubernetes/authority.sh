#!/usr/bin/env bash
# The cluster's own authority: certificates of its components, and a kubeconfig for each of them and for the administrator.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ -f $authority/done ]] && exit 0
mkdir -p "$authority"
cd "$authority"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

certificate() {
    local name=$1 subject=$2 usage=$3 names=${4:+subjectAltName=$4}
    key "$name"
    openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr"
    printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n%s\n' "$usage" "$names" >"$name.ext"
    openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile "$name.ext" \
        -out "$name.crt" 2>/dev/null
    rm "$name.csr" "$name.ext"
}

# A user of the API server, by certificate.
user() {
    local name=$1
    certificate "$name" "$2" clientAuth
    cat >"$name.kubeconfig" <<CONF
apiVersion: v1
kind: Config
clusters:
  - name: rig
    cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
  - name: $name
    user: {client-certificate-data: $(base64 -w0 "$name.crt"), client-key-data: $(base64 -w0 "$name.key")}
contexts:
  - name: rig
    context: {cluster: rig, user: $name}
current-context: rig
CONF
}

key ca
openssl req -x509 -new -key ca.key -subj /CN=rig-cluster -days 3650 -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
service=kubernetes.default
certificate kube-apiserver /CN=kube-apiserver serverAuth "DNS:localhost,DNS:kubernetes,DNS:$service,DNS:$service.svc,\
DNS:$service.svc.cluster.local,IP:127.0.0.1,IP:$first_service,IP:$node_address"
user admin /O=system:masters/CN=admin
user kube-controller-manager /CN=system:kube-controller-manager
user kube-scheduler /CN=system:kube-scheduler
user kube-proxy /CN=system:kube-proxy
user kubelet "/O=system:nodes/CN=system:node:$node"
key service-accounts
openssl ec -in service-accounts.key -pubout -out service-accounts.pub 2>/dev/null
touch done
