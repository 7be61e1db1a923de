{{- define "petasos.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "petasos.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "petasos.labels" -}}
{{ include "petasos.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "petasos.secret" -}}
{{- if .Values.secret.existing -}}
{{- .Values.secret.existing -}}
{{- else if .Values.secret.settings -}}
{{- include "petasos.name" . -}}
{{- else if not (or .Values.config.JWKS_URL (and .Values.config.PUBLISHER_JWKS_URL .Values.config.SUBSCRIBER_JWKS_URL)) -}}
{{- fail "the hub needs a key: set secret.settings.JWT_KEY, or secret.existing, or config.JWKS_URL" -}}
{{- end -}}
{{- end -}}

{{- define "petasos.checked" -}}
{{- $elsewhere := dict "ADDR" "service.port" "DB_PATH" "persistence" "SHARDS" "shards" "METRICS_ADDR" "metrics" -}}
{{- range $name := list "CERT_FILE" "KEY_FILE" "ACME_HOSTS" -}}
{{- $_ := set $elsewhere $name "ingress.tlsSecret" -}}
{{- end -}}
{{- range $name := list "JWT_KEY" "PUBLISHER_JWT_KEY" "SUBSCRIBER_JWT_KEY" -}}
{{- $_ := set $elsewhere $name "secret" -}}
{{- end -}}
{{- range $name, $value := .Values.config -}}
{{- if hasKey $elsewhere $name -}}
{{- fail (printf "config.%s: this is what the value %s is for" $name (get $elsewhere $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A number of a file of values is a float, and would be written as 1e+06. */ -}}
{{- define "petasos.text" -}}
{{- if and (kindIs "float64" .) (eq (. | int64 | float64) .) -}}
{{- . | int64 | toString | quote -}}
{{- else -}}
{{- . | toString | quote -}}
{{- end -}}
{{- end -}}
