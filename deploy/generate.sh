#!/usr/bin/env bash
# Makes what is made of other files of this repository: the chart's definitions, the plain manifests, and Argo CD's settings.
# With --check it says what is not as it would be made, and changes nothing.
# AFTERBAY is the program, HELM is helm; by default those that are built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
afterbay=${AFTERBAY:-target/debug/afterbay}
helm=${HELM:-$(command -v helm || echo target/kubernetes/bin/helm)}
wanted=$(mktemp -d)
trap 'rm -r "$wanted"' EXIT
mkdir -p "$wanted/charts/afterbay/files" "$wanted/deploy/kubernetes" "$wanted/deploy/argocd"

"$afterbay" crds >"$wanted/charts/afterbay/files/crds.yaml"

cp -r charts/afterbay "$wanted/chart"
cp "$wanted/charts/afterbay/files/crds.yaml" "$wanted/chart/files/crds.yaml"
{
    echo '# Made of charts/afterbay by deploy/generate.sh.'
    # What Helm says of itself is no business of plain manifests.
    "$helm" template afterbay "$wanted/chart" --namespace afterbay-system --kube-version 1.34.0 --skip-tests \
        --set crds.keep=false | grep -vE '^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): |^# Source: '
} >"$wanted/deploy/kubernetes/afterbay.yaml"

{
    echo '# Made of deploy/argocd/health.lua by deploy/generate.sh: a patch of the ConfigMap argocd-cm.'
    printf 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\ndata:\n'
    for kind in KafkaConnection SchemaRegistryConnection Sink SourceConnector; do
        echo "  resource.customizations.health.afterbay.dev_$kind: |"
        sed 's/^\(.\)/    \1/' deploy/argocd/health.lua
    done
} >"$wanted/deploy/argocd/argocd-cm.yaml"

status=0
for file in charts/afterbay/files/crds.yaml deploy/kubernetes/afterbay.yaml deploy/argocd/argocd-cm.yaml; do
    if [[ ${1:-} != --check ]]; then
        cp "$wanted/$file" "$file"
    elif ! diff -u "$file" "$wanted/$file"; then
        echo "$file is not what deploy/generate.sh makes: run make manifests" >&2
        status=1
    fi
done
exit "$status"
