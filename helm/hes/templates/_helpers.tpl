{{/* topology.yaml, as the chart has it. */}}
{{- define "hes.topology" -}}
{{- .Files.Get "files/topology.yaml" -}}
{{- end }}

{{- define "hes.name" -}}
{{- printf "%s-%s" .root.Release.Name .component | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "hes.selector" -}}
app.kubernetes.io/name: hes
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "hes.labels" -}}
{{ include "hes.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "hes.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end }}

{{- define "hes.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default .Release.Name -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{/* The values of one service: its own block over the defaults. */}}
{{- define "hes.service" -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy (get .root.Values.services .component | default dict)) | toYaml -}}
{{- end }}

{{/* A setting's value as text. Numbers by JSON, since Helm holds them as floats and would write 1e+06. */}}
{{- define "hes.text" -}}
{{- if kindIs "string" . -}}{{ . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end }}

{{/* Settings as environment variables, from values that hold no secret. */}}
{{- define "hes.settings" -}}
HES_ENVIRONMENT: {{ .Values.environment | quote }}
{{- range $section, $fields := .Values.settings }}
{{- range $key, $value := $fields }}
HES_{{ upper $section }}__{{ upper $key }}: {{ include "hes.text" $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Environment variables from Secrets: a map of name to {secret, key}. */}}
{{- define "hes.secretEnv" -}}
{{- range $name, $from := . }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $from.secret }}
      key: {{ $from.key }}
{{- end }}
{{- end }}

{{- define "hes.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "hes.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The ports of Kafka (a list of host:port) and of the registry (a URL, by its scheme where it names none). */}}
{{- define "hes.ports" -}}
{{- $ports := list -}}
{{- range regexFindAll ":[0-9]+" .kafka.bootstrap -1 -}}
{{- $ports = append $ports (trimPrefix ":" . | int) -}}
{{- end -}}
{{- $url := urlParse .registry.url -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- append $ports ($port | default (ternary 443 80 (eq $url.scheme "https")) | int) | uniq | toJson -}}
{{- end }}
