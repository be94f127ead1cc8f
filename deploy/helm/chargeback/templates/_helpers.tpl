{{- define "chargeback.name" -}}
{{- if contains "chargeback" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-chargeback" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "chargeback.selector" -}}
app.kubernetes.io/name: chargeback
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "chargeback.labels" -}}
{{ include "chargeback.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "chargeback.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "chargeback.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "chargeback.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* "yes" when the service runs its own PostgreSQL on a volume. */}}
{{- define "chargeback.embedded" -}}
{{- if not (or .Values.database.existingSecret .Values.database.url .Values.postgresql.enabled) }}yes{{ end }}
{{- end }}

{{/* Reject combinations of values that values.schema.json cannot rule out. */}}
{{- define "chargeback.check" -}}
{{- $databases := 0 }}
{{- range (list .Values.database.existingSecret .Values.database.url .Values.postgresql.enabled) }}{{ if . }}{{ $databases = add1 $databases }}{{ end }}{{ end }}
{{- if gt (int $databases) 1 }}{{ fail "Choose one PostgreSQL: database.existingSecret, database.url or postgresql.enabled." }}{{ end }}
{{- if include "chargeback.embedded" . }}
{{- if or (gt (int .Values.backend.replicas) 1) .Values.autoscaling.enabled }}{{ fail "Several replicas need a shared PostgreSQL: set database.existingSecret, database.url or postgresql.enabled." }}{{ end }}
{{- if or .Values.monthClose.enabled .Values.connectors }}{{ fail "CronJobs need a PostgreSQL that they can reach: set database.existingSecret, database.url or postgresql.enabled; or let the service close months by backend.settings.MONTH_CLOSE_AFTER_DAYS." }}{{ end }}
{{- end }}
{{- $names := list }}
{{- range .Values.connectors }}{{ $names = append $names .name }}{{ end }}
{{- if ne (len $names) (len (uniq $names)) }}{{ fail "Two connectors have the same name." }}{{ end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.tokenSecret) }}{{ fail "A ServiceMonitor needs the token that /metrics requires: set metrics.tokenSecret." }}{{ end }}
{{- end }}

{{/* Format a setting. Helm reads YAML numbers as floats and would print 5e+07 for 50000000. */}}
{{- define "chargeback.formatSetting" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}

{{/* The unique name of a CronJob; Kubernetes allows 52 characters. */}}
{{- define "chargeback.cronJobName" -}}
{{- $slug := regexReplaceAll "[^a-z0-9]+" (lower .task) "-" | trunc 18 | trimAll "-" -}}
{{- if ne $slug .task }}{{ $slug = printf "%s-%s" $slug (.task | sha256sum | trunc 6) | trimPrefix "-" }}{{ end -}}
{{ include "chargeback.name" .root | trunc 26 | trimSuffix "-" }}-{{ $slug }}
{{- end }}

{{- define "chargeback.env" -}}
- name: CHARGEBACK_USAGE_REPORT_ENABLED
  value: {{ .Values.backend.chargebackUsageReportEnabled | quote }}
- name: ADMIN_USER_LIST
  value: {{ join "," .Values.backend.adminUserList | quote }}
{{- range $name, $value := .Values.backend.settings }}
- name: {{ $name }}
  value: {{ include "chargeback.formatSetting" $value | quote }}
{{- end }}
{{- if not (include "chargeback.embedded" .) }}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret | default (printf "%s-database" (include "chargeback.name" .)) }}
      key: {{ ternary .Values.database.existingSecretKey "DATABASE_URL" (not (empty .Values.database.existingSecret)) }}
{{- end }}
{{- if .Values.metrics.tokenSecret }}
- name: METRICS_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.metrics.tokenSecret }}
      key: {{ .Values.metrics.tokenSecretKey }}
{{- end }}
{{- with .Values.backend.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "chargeback.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "chargeback.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A pod that runs one chargeback command and exits. */}}
{{- define "chargeback.commandPod" -}}
metadata:
  labels:
    {{- include "chargeback.selector" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "chargeback.serviceAccount" .root }}
  automountServiceAccountToken: false
  securityContext:
    {{- include "chargeback.podSecurity" .root | nindent 4 }}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: chargeback
      image: {{ include "chargeback.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      {{- with .command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- include "chargeback.env" .root | nindent 8 }}
        {{- with .extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      securityContext:
        {{- include "chargeback.containerSecurity" .root | nindent 8 }}
      resources:
        {{- toYaml .root.Values.backend.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: data, mountPath: /var/lib/chargeback}
        {{- with .root.Values.backend.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {}}
    - {name: data, emptyDir: {}}
    {{- with .root.Values.backend.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
