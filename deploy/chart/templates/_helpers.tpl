{{- define "stayput.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "stayput.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "stayput.labels" -}}
{{- $own := include "stayput.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "stayput" -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{/* The metadata of an object: list CONTEXT SUFFIX [NAMESPACE or "cluster"] [LABELS] [ANNOTATIONS]. */}}
{{- define "stayput.metadata" -}}
{{- $ := index . 0 -}}
name: {{ include "stayput.fullname" $ }}{{ index . 1 }}
{{- $ns := $.Release.Namespace -}}
{{- if gt (len .) 2 }}{{ $ns = index . 2 }}{{ end }}
{{- if ne $ns "cluster" }}
namespace: {{ $ns }}
{{- end }}
{{- $labels := include "stayput.labels" $ | fromYaml -}}
{{- if gt (len .) 3 }}{{ $labels = merge $labels (index . 3) }}{{ end }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- $annotations := deepCopy $.Values.commonAnnotations -}}
{{- if gt (len .) 4 }}{{ $annotations = mergeOverwrite $annotations (index . 4) }}{{ end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "stayput.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "stayput.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "stayput.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A word of the Configuration: YAML 1.1, which Helm reads, takes off and on for booleans. */}}
{{- define "stayput.word" -}}
{{- if kindIs "bool" . }}{{ ternary "on" "off" . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{- define "stayput.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "apiVersion" "stayput.dev/v1alpha1" -}}
{{- $_ := set $config "kind" "Configuration" -}}
{{- $_ := set $config "mode" (include "stayput.word" .Values.mode) -}}
{{- range $key := list "rules" "mutators" -}}
{{- range $name, $word := get $config $key | default dict -}}
{{- $_ := set (get $config $key) $name (include "stayput.word" $word) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "retain" "repair" -}}
{{- if hasKey $config $key -}}
{{- $_ := set $config $key (include "stayput.word" (get $config $key)) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $config "allowedModes" -}}
{{- $modes := list -}}
{{- range $config.allowedModes -}}{{- $modes = append $modes (include "stayput.word" .) -}}{{- end -}}
{{- $_ := set $config "allowedModes" $modes -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Nine tenths of the memory limit, for the garbage collector to heed. */}}
{{- define "stayput.goMemLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString -}}
{{- if hasSuffix "Mi" $limit -}}
{{- printf "%dKiB" (div (mul (trimSuffix "Mi" $limit | int) 1024 9) 10) -}}
{{- else if hasSuffix "Gi" $limit -}}
{{- printf "%dKiB" (div (mul (trimSuffix "Gi" $limit | int) 1048576 9) 10) -}}
{{- end -}}
{{- end -}}

{{- define "stayput.tlsSecret" -}}
{{- if eq .Values.certificates.mode "files" -}}
{{- required "certificates.files.secretName: is needed with certificates.mode: files" .Values.certificates.files.secretName -}}
{{- else -}}
{{- include "stayput.fullname" . }}-tls
{{- end -}}
{{- end -}}

{{- define "stayput.caSecret" -}}
{{- include "stayput.fullname" . }}-ca
{{- end -}}

{{/* The webhooks of files/*.yaml, with what the values decide: list CONTEXT FILE. */}}
{{- define "stayput.webhooks" -}}
{{- $ := index . 0 -}}
{{- $webhooks := $.Files.Get (index . 1) | fromYamlArray -}}
{{- $never := list "kube-node-lease" "kube-public" "kube-system" $.Release.Namespace | uniq -}}
{{- range $webhooks -}}
{{- $_ := set . "timeoutSeconds" (int $.Values.webhook.timeoutSeconds) -}}
{{- $_ := set . "failurePolicy" (get $.Values.webhook.failurePolicy .name | default .failurePolicy) -}}
{{- $_ := set .clientConfig.service "name" (include "stayput.fullname" $) -}}
{{- $_ := set .clientConfig.service "namespace" $.Release.Namespace -}}
{{- if and (eq $.Values.certificates.mode "files") $.Values.certificates.files.caBundle -}}
{{- $_ := set .clientConfig "caBundle" (b64enc $.Values.certificates.files.caBundle) -}}
{{- end -}}
{{- $own := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" $never -}}
{{- $_ := set .namespaceSelector "matchExpressions" (concat (list $own) (rest .namespaceSelector.matchExpressions) $.Values.webhook.namespaceSelector) -}}
{{- end -}}
{{- toYaml $webhooks -}}
{{- end -}}

{{- define "stayput.webhookAnnotations" -}}
{{- if eq .Values.certificates.mode "cert-manager" -}}
cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "stayput.fullname" . }}
{{- end -}}
{{- end -}}

{{- define "stayput.certificateArgs" -}}
- --namespace={{ .Release.Namespace }}
- --service={{ include "stayput.fullname" . }}
- --configurations={{ include "stayput.fullname" . }}
- --certificates={{ .Values.certificates.mode }}
{{- if eq .Values.certificates.mode "self-signed" }}
- --secret={{ include "stayput.caSecret" . }}
{{- with .Values.webhook.clusterIP }}
- --tls-names={{ . }}
{{- end }}
{{- else }}
- --tls-cert-file=/etc/stayput-tls/tls.crt
- --tls-key-file=/etc/stayput-tls/tls.key
{{- if eq .Values.certificates.mode "cert-manager" }}
- --certificate={{ include "stayput.fullname" . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The setting of repair, without the mutator that it is about: off. */}}
{{- define "stayput.repair" -}}
{{- if eq "off" (include "stayput.word" (dig "mutators" "volume-retain" "on" .Values.config)) -}}
off
{{- else -}}
{{- include "stayput.word" (dig "repair" "new" .Values.config) -}}
{{- end -}}
{{- end -}}
