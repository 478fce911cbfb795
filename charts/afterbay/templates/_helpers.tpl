{{- define "afterbay.name" -}}
{{- .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "afterbay.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "afterbay.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "afterbay.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{- define "afterbay.selector" -}}
app.kubernetes.io/name: {{ include "afterbay.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "afterbay.labels" -}}
{{ include "afterbay.selector" . }}
app.kubernetes.io/part-of: afterbay
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "afterbay.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end }}

{{- define "afterbay.workerImage" -}}
{{- $repository := .Values.workerImage.repository | default .Values.image.repository -}}
{{- if .Values.workerImage.digest -}}
{{- printf "%s@%s" $repository .Values.workerImage.digest -}}
{{- else if .Values.workerImage.tag -}}
{{- printf "%s:%s" $repository .Values.workerImage.tag -}}
{{- else if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* What all pods of the restricted standard have in common. */}}
{{- define "afterbay.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "afterbay.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What the operator does in the namespaces that it watches. */}}
{{- define "afterbay.rules" -}}
# What users declare. `patch` is for finalizers: nobody writes a spec.
- apiGroups: [afterbay.dev]
  resources: [kafkaconnections, schemaregistryconnections, sourceconnectors, sinks]
  verbs: [list, watch, patch]
# Before a slot is dropped it is looked past what is remembered.
- apiGroups: [afterbay.dev]
  resources: [sourceconnectors]
  verbs: [get]
- apiGroups: [afterbay.dev]
  resources: [kafkaconnections/status, schemaregistryconnections/status, sourceconnectors/status, sinks/status]
  verbs: [patch]
# Credentials that users' resources name are read; copies of what each worker needs are made.
# RBAC knows no labels, and no names beforehand: so it is every Secret, not only those.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, delete]
# The workers. What is applied and not there asks for `create` and `patch`.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
