{{/*
One service: Deployment, Service where it listens, PodDisruptionBudget, NetworkPolicy.
Takes root (the chart's context), component (the service's name) and row (the service in topology.yaml).
*/}}
{{- define "hes.workload" -}}
{{- $values := include "hes.service" . | fromYaml -}}
{{- $name := include "hes.name" . -}}
{{- $settings := include "hes.settings" .root -}}
{{- $kafka := .root.Values.settings.kafka -}}
{{- $user := trimPrefix "User:" .row.principal -}}
{{- $relays := and (eq .component "gateway") .root.Values.relay.secret -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "hes.labels" . | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "hes.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "hes.labels" . | nindent 8 }}
      annotations:
        hes/settings: {{ sha256sum $settings }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "hes.serviceAccount" .root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      securityContext:
        {{- include "hes.podSecurity" . | nindent 8 }}
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "hes.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: [run, {{ .component }}]
          workingDir: /var/lib/hes
          securityContext:
            {{- include "hes.containerSecurity" . | nindent 12 }}
          envFrom:
            - configMapRef:
                name: {{ include "hes.name" (dict "root" .root "component" "settings") }}
          env:
            - name: HES_HOME
              value: /var/lib/hes
            - name: HES_TOPOLOGY
              value: /etc/hes/topology/topology.yaml
            - name: HES_HEALTH__HOST
              value: "0.0.0.0"
            - name: HES_HEALTH__PORT
              value: "8080"
            {{- if hasPrefix "SASL_" ($kafka.security_protocol | default "") }}
            - name: HES_KAFKA__SASL_USERNAME
              value: {{ $user }}
            - name: HES_KAFKA__SASL_PASSWORD
              valueFrom:
                secretKeyRef:
                  name: {{ $user }}
                  key: {{ .root.Values.kafkaUser.passwordKey }}
            {{- end }}
            {{- if .root.Values.kafkaCa.secret }}
            - name: HES_KAFKA__CA_FILE
              value: /etc/hes/kafka-ca/{{ .root.Values.kafkaCa.key }}
            {{- end }}
            {{- if $relays }}
            - name: HES_GATEWAY__RELAY_PORT
              value: {{ .root.Values.relay.port | quote }}
            - name: HES_GATEWAY__RELAY_HOST
              valueFrom:
                fieldRef:
                  fieldPath: status.podIP
            - name: HES_GATEWAY__RELAY_SECRET
              valueFrom:
                secretKeyRef:
                  name: {{ .root.Values.relay.secret }}
                  key: {{ .root.Values.relay.key }}
            {{- end }}
            {{- with include "hes.secretEnv" (mergeOverwrite (deepCopy .root.Values.secretEnv) $values.secretEnv) | trim }}
            {{- nindent 12 . }}
            {{- end }}
            {{- range $key, $value := $values.env }}
            - name: {{ $key }}
              value: {{ include "hes.text" $value | quote }}
            {{- end }}
          ports:
            - name: http
              containerPort: 8080
            {{- range $values.ports }}
            - name: {{ .name }}
              containerPort: {{ .port }}
              protocol: {{ .protocol }}
            {{- end }}
            {{- if $relays }}
            - name: relay
              containerPort: {{ .root.Values.relay.port }}
            {{- end }}
          startupProbe:
            httpGet: {path: /health/live, port: http}
            periodSeconds: 5
            failureThreshold: 30
          livenessProbe:
            httpGet: {path: /health/live, port: http}
            periodSeconds: 15
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: /health/ready, port: http}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 3
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - name: scratch
              mountPath: /var/lib/hes
            - name: tmp
              mountPath: /tmp
            - name: topology
              mountPath: /etc/hes/topology
              readOnly: true
            {{- if .root.Values.kafkaCa.secret }}
            - name: kafka-ca
              mountPath: /etc/hes/kafka-ca
              readOnly: true
            {{- end }}
            {{- range $path, $secret := $values.secretFiles }}
            - name: {{ $secret }}
              mountPath: {{ $path }}
              readOnly: true
            {{- end }}
      volumes:
        - name: scratch
          emptyDir:
            sizeLimit: {{ $values.scratch }}
        - name: tmp
          emptyDir:
            sizeLimit: {{ $values.scratch }}
        - name: topology
          configMap:
            name: {{ include "hes.name" (dict "root" .root "component" "topology") }}
        {{- if .root.Values.kafkaCa.secret }}
        - name: kafka-ca
          secret:
            secretName: {{ .root.Values.kafkaCa.secret }}
        {{- end }}
        {{- range $secret := values $values.secretFiles | uniq | sortAlpha }}
        - name: {{ $secret }}
          secret:
            secretName: {{ $secret }}
            defaultMode: 0440
        {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "hes.selector" . | nindent 14 }}
      {{- range $key := list "nodeSelector" "tolerations" "affinity" }}
      {{- with get $values $key }}
      {{ $key }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "hes.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "hes.selector" . | nindent 6 }}
{{- if $values.ports }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "hes.labels" . | nindent 4 }}
  {{- with $values.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $values.service.type }}
  {{- if ne $values.service.type "ClusterIP" }}
  externalTrafficPolicy: {{ $values.service.externalTrafficPolicy }}
  {{- end }}
  selector:
    {{- include "hes.selector" . | nindent 4 }}
  ports:
    {{- range $values.ports }}
    - name: {{ .name }}
      port: {{ .port }}
      targetPort: {{ .name }}
      protocol: {{ .protocol }}
    {{- end }}
{{- end }}
{{- if .root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $name }}
  labels:
    {{- include "hes.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "hes.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports:
        - port: http
      {{- with .root.Values.networkPolicy.metricsFrom }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- if $values.ports }}
    - ports:
        {{- range $values.ports }}
        - port: {{ .name }}
          protocol: {{ .protocol }}
        {{- end }}
    {{- end }}
    {{- if $relays }}
    - ports:
        - port: relay
      from:
        - podSelector:
            matchLabels:
              {{- include "hes.selector" . | nindent 14 }}
    {{- end }}
  egress:
    {{- if kindIs "string" $values.egress }}
    - {}
    {{- else }}
    - ports:
        - port: 53
          protocol: UDP
        - port: 53
          protocol: TCP
    - ports:
        {{- range concat (include "hes.ports" .root.Values.settings | fromJsonArray) $values.egress | uniq }}
        - port: {{ . }}
          protocol: TCP
        {{- end }}
    {{- end }}
{{- end }}
{{- end }}
