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
{{- else if not (or .Values.settings.JWKS_URL (and .Values.settings.PUBLISHER_JWKS_URL .Values.settings.SUBSCRIBER_JWKS_URL)) -}}
{{- fail "the hub needs a key: set secret.settings.JWT_KEY, or secret.existing, or settings.JWKS_URL" -}}
{{- end -}}
{{- end -}}
