package examples

import (
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
	"stayput.dev/validators"
)

// A slip is one small change to a good application that one rule notices.
type slip struct {
	app      string // a file in apps, which is read together with storage.yaml
	old, new string // replaced wherever it stands, or, and
	gone     string // what is deleted from the running application: kind and name
	freed    string // what loses its finalizers while it is being deleted: kind and name
	add      string // and one manifest more
	update   bool   // of the running application, instead of a new one

	want validators.Level // of the rule's findings
	also []string         // other rules, and mutators, that cannot but notice, too

	retain  cluster.Retain                       // as configured
	reclaim corev1.PersistentVolumeReclaimPolicy // of the volumes there are; empty means Retain
}

const (
	warn = validators.Warn
	deny = validators.Deny
	hint = validators.Hint
)

// slips are by rule.
var slips = map[string]slip{
	"claim-attributes-class": {app: "prometheus.yaml", want: warn,
		old: "\n  storageClassName: retained", new: "\n  storageClassName: retained\n  volumeAttributesClassName: fast"},
	"claim-class": {app: "prometheus.yaml", want: warn,
		old: "\n  storageClassName: retained", new: "\n  storageClassName: retaind"},
	"claim-data-source": {app: "prometheus.yaml", want: warn,
		old: "\n  storageClassName: retained",
		new: "\n  storageClassName: retained\n  dataSource: {kind: PersistentVolumeClaim, name: dashboards}"},
	"claim-in-use": {app: "etcd.yaml", want: deny,
		gone: "PersistentVolumeClaim data-etcd-0"},
	"claim-oversized-volume": {app: "prometheus.yaml", want: warn,
		old: "\n  storageClassName: retained", new: "\n  storageClassName: ''",
		add: `
apiVersion: v1
kind: PersistentVolume
metadata: {name: archive}
spec: {capacity: {storage: 10Ti}, accessModes: [ReadWriteOnce],
  persistentVolumeReclaimPolicy: Retain, csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1}}`},
	"claim-reclaim": {app: "prometheus.yaml", want: warn,
		old: "\n  storageClassName: retained", new: "\n  storageClassName: scratch"},
	"claim-template-access-mode": {app: "rabbitmq.yaml", want: warn,
		old: "accessModes: [ReadWriteOnce]", new: "accessModes: [ReadWriteMany]"},
	"claim-template-binding": {app: "kafka.yaml", want: warn,
		old: "WaitForFirstConsumer", new: "Immediate"},
	"claim-template-class": {app: "mysql.yaml", want: warn,
		old: "storageClassName: retained", new: "storageClassName: fast"},
	"claim-template-duplicate": {app: "zookeeper.yaml", want: deny,
		old: "name: datalog", new: "name: data"},
	"claim-template-expandable": {app: "cassandra.yaml", want: warn,
		old: "allowVolumeExpansion: true", new: "allowVolumeExpansion: false"},
	"claim-template-pinned": {app: "minio.yaml", want: deny,
		old: "storageClassName: retained", new: "storageClassName: retained\n      volumeName: pv-minio"},
	"claim-template-reclaim": {app: "consul.yaml", want: warn, retain: cluster.RetainOff,
		old: "storageClassName: retained", new: "storageClassName: scratch"},
	"claim-template-shadows-volume": {app: "vault.yaml", want: warn,
		old: "- name: home\n", new: "- name: audit\n"},
	"claim-template-storage": {app: "nats.yaml", want: hint,
		old: "requests:\n          storage:", new: "request:\n          storage:"},
	"claim-template-unmounted": {app: "loki.yaml", want: warn,
		old: "metadata:\n      name: data", new: "metadata:\n      name: wal"},
	"claim-template-volume-mode": {app: "rabbitmq.yaml", want: deny,
		old: "accessModes: [ReadWriteOnce]", new: "accessModes: [ReadWriteOnce]\n      volumeMode: Block"},
	"claim-unbindable": {app: "prometheus.yaml", want: warn,
		old: "\n  storageClassName: retained", new: "\n  storageClassName: ''",
		add: `
apiVersion: v1
kind: PersistentVolume
metadata: {name: archive}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce],
  persistentVolumeReclaimPolicy: Retain, csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1}}`},
	"claim-volume": {app: "prometheus.yaml", want: warn,
		old: "\n  storageClassName: retained", new: "\n  storageClassName: retained\n  volumeName: grafana"},
	"definition-data": {app: "prometheus.yaml", want: deny,
		gone: "CustomResourceDefinition thanosrulers.example.com", add: `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: thanosrulers.example.com}
spec:
  group: example.com
  names: {kind: ThanosRuler, plural: thanosrulers}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: rules
  namespace: monitoring
  ownerReferences:
  - {apiVersion: example.com/v1, kind: ThanosRuler, name: rules, uid: 3f0c7a52-0000-4000-8000-000000000001}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: retained
  volumeName: rules
  resources: {requests: {storage: 1Gi}}
status: {phase: Bound}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: rules}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Delete
  storageClassName: retained
  claimRef: {namespace: monitoring, name: rules}
  csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1}
status: {phase: Bound}`},

	"deployment-grace-period": {app: "prometheus.yaml", want: warn,
		old: "      serviceAccountName: grafana",
		new: "      terminationGracePeriodSeconds: 0\n      serviceAccountName: grafana"},
	"deployment-hostname": {app: "loki.yaml", want: deny,
		old: "      containers:\n      - name: nginx",
		new: "      hostname: gateway\n      containers:\n      - name: nginx"},
	"deployment-rolling-claim": {app: "prometheus.yaml", want: warn,
		old: "type: Recreate", new: "type: RollingUpdate"},
	"deployment-shared-claim": {app: "prometheus.yaml", want: warn,
		old: "replicas: 1", new: "replicas: 2"},
	"deployment-subdomain": {app: "loki.yaml", want: warn,
		old: "      containers:\n      - name: nginx",
		new: "      subdomain: loki-gateway\n      containers:\n      - name: nginx"},

	"field-fixed": {app: "postgresql.yaml", want: hint, update: true,
		old: "storage: 100Gi", new: "storage: 200Gi"},
	"finalizer-removed": {app: "etcd.yaml", want: warn,
		freed: "PersistentVolumeClaim data-etcd-0"},
	"fixed-labels": {app: "rabbitmq.yaml", want: warn,
		old: "  volumeClaimTemplates:\n  - metadata:\n      name: data\n",
		new: "  volumeClaimTemplates:\n  - metadata:\n      labels: {helm.sh/chart: rabbitmq-1.2.3}\n      name: data\n"},
	"namespace-data": {app: "mongodb.yaml", want: deny, reclaim: corev1.PersistentVolumeReclaimDelete,
		gone: "Namespace mongodb"},

	"pod-adopted": {app: "etcd.yaml", want: warn, add: `
apiVersion: v1
kind: Pod
metadata: {name: etcd-01, namespace: etcd, labels: {app.kubernetes.io/name: etcd}}
spec: {containers: [{name: etcd, image: "quay.io/coreos/etcd:v3.6.4"}]}`},
	"pod-hostname-conflict": {app: "etcd.yaml", want: warn, add: `
apiVersion: v1
kind: Pod
metadata: {name: restore, namespace: etcd, labels: {app.kubernetes.io/name: etcd}}
spec: {hostname: etcd-0, subdomain: etcd-headless, containers: [{name: etcd, image: "quay.io/coreos/etcd:v3.6.4"}]}`},
	"pod-identity-skipped": {app: "nats.yaml", want: warn, add: `
apiVersion: v1
kind: Pod
metadata: {name: leaf, namespace: nats, labels: {stayput.dev/subdomain: nats-headless}}
spec: {hostNetwork: true, containers: [{name: nats, image: "nats:2.11-alpine"}]}`},
	"pod-subdomain": {app: "nats.yaml", want: warn, add: `
apiVersion: v1
kind: Pod
metadata: {name: box, namespace: nats, labels: {app.kubernetes.io/name: nats-box}}
spec: {hostname: box, subdomain: nats-headless, containers: [{name: box, image: natsio/nats-box}]}`},

	"protected": {app: "mongodb.yaml", want: deny,
		old: "  name: mongodb\n  labels:\n", new: "  name: mongodb\n  labels:\n    stayput.dev/protect: \"true\"\n",
		gone: "Namespace mongodb"},

	"service-governing": {app: "etcd.yaml", want: warn,
		gone: "Service etcd-headless"},

	"statefulset-delete": {app: "kafka.yaml", want: warn,
		gone: "StatefulSet kafka"},
	"statefulset-disruption-budget": {app: "elasticsearch.yaml", want: warn,
		old: "maxUnavailable: 1", new: "maxUnavailable: 0"},
	"statefulset-grace-period": {app: "mysql.yaml", want: deny,
		old: "terminationGracePeriodSeconds: 300", new: "terminationGracePeriodSeconds: 0"},
	"statefulset-identity": {app: "cassandra.yaml", want: warn,
		old: "      enableServiceLinks: false", new: "      hostname: cassandra\n      enableServiceLinks: false"},
	"statefulset-max-unavailable": {app: "prometheus.yaml", want: warn,
		old: "  minReadySeconds: 30",
		new: "  minReadySeconds: 30\n  updateStrategy: {rollingUpdate: {maxUnavailable: 100%}}"},
	"statefulset-min-ready-seconds": {app: "postgresql.yaml", want: warn,
		old: "  minReadySeconds: 10\n", new: ""},
	"statefulset-name-length": {app: "etcd.yaml", want: deny, also: []string{"statefulset-peer-names"},
		old: "kind: StatefulSet\nmetadata:\n  name: etcd\n",
		new: "kind: StatefulSet\nmetadata:\n  name: etcd-for-the-control-plane-of-the-second-production-cluster\n"},
	"statefulset-no-storage": {app: "nats.yaml", want: warn,
		old: "  volumeClaimTemplates:\n  - metadata:\n      name: data\n    spec:\n      accessModes: [ReadWriteOnce]\n    " +
			"  storageClassName: retained\n      resources:\n        requests:\n          storage: 20Gi\n",
		new: "      - name: data\n        emptyDir: {}\n"},
	"statefulset-on-delete": {app: "rabbitmq.yaml", want: warn,
		old: "  minReadySeconds: 30", new: "  minReadySeconds: 30\n  updateStrategy: {type: OnDelete}"},
	"statefulset-ordinals": {app: "cockroachdb.yaml", want: warn, update: true, also: []string{"statefulset-peer-names"},
		old: "replicas: 3", new: "replicas: 3\n  ordinals: {start: 1}"},
	"statefulset-parallel": {app: "vault.yaml", want: warn, also: []string{"statefulset-service-missing"},
		old: "serviceName: vault-internal", new: "serviceName: vault-headless"},
	"statefulset-partition": {app: "kafka.yaml", want: warn,
		old: "  minReadySeconds: 30", new: "  minReadySeconds: 30\n  updateStrategy: {rollingUpdate: {partition: 2}}"},
	"statefulset-readiness": {app: "postgresql.yaml", want: warn,
		old: "readinessProbe:", new: "startupProbe:"},
	"statefulset-recreate": {app: "kafka.yaml", want: warn,
		old: "  minReadySeconds: 30", new: "  minReadySeconds: 30\n  updateStrategy: {type: Recreate}"},
	"statefulset-retention": {app: "mongodb.yaml", want: deny, update: true, reclaim: corev1.PersistentVolumeReclaimDelete,
		old: "  minReadySeconds: 10", new: "  minReadySeconds: 10\n  persistentVolumeClaimRetentionPolicy: {whenDeleted: " +
			"Delete}"},
	"statefulset-scale-down": {app: "kafka.yaml", want: warn, update: true, also: []string{"statefulset-peer-names"},
		old: "replicas: 3", new: "replicas: 2"},
	"statefulset-scale-up": {app: "minio.yaml", want: warn, update: true,
		old: "replicas: 4", new: "replicas: 5",
		add: `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: drive-minio-4, namespace: minio}
spec: {accessModes: [ReadWriteOnce], storageClassName: retained, resources: {requests: {storage: 100Gi}}}`},
	"statefulset-service-headless": {app: "postgresql.yaml", want: deny, also: []string{"service-governing"},
		old: "serviceName: postgresql-headless", new: "serviceName: postgresql-read"},
	"statefulset-service-missing": {app: "vault.yaml", want: warn, also: []string{"statefulset-parallel"},
		old: "serviceName: vault-internal", new: "serviceName: vault-headless"},
	// which fills it in if there is one to choose
	"statefulset-service-name": {app: "consul.yaml", want: deny, also: []string{"statefulset-parallel",
		"statefulset-governing-service"},
		old: "  serviceName: consul-headless\n", new: "",
		add: `
apiVersion: v1
kind: Service
metadata: {name: consul-gossip, namespace: consul}
spec: {clusterIP: None, selector: {app.kubernetes.io/name: consul}, ports: [{port: 8301}]}`},
	"service-publishes-not-ready": {app: "vault.yaml", want: warn,
		old: "  name: vault\n  namespace: vault\nspec:\n  selector:\n    app.kubernetes.io/name: vault\n  ports:",
		new: "  name: vault\n  namespace: vault\nspec:\n  publishNotReadyAddresses: true\n  selector:\n" +
			"    app.kubernetes.io/name: vault\n  ports:"},
	"statefulset-peer-names": {app: "cassandra.yaml", want: warn,
		old: "cassandra-0.cassandra-headless.cassandra.svc", new: "cassandra-0.cassandra.cassandra.svc"},
	"service-selects-strangers": {app: "loki.yaml", want: warn,
		old: "    app.kubernetes.io/component: server\n  ports:\n  - {name: http, port: 3100}\n---\n# For clients.",
		new: "  ports:\n  - {name: http, port: 3100}\n---\n# For clients."},
	"statefulset-service-not-ready-addresses": {app: "etcd.yaml", want: warn,
		old: "  publishNotReadyAddresses: true\n", new: ""},
	"statefulset-service-selector": {app: "etcd.yaml", want: warn, also: []string{"service-governing"},
		old: "publishNotReadyAddresses: true\n  selector:\n    app.kubernetes.io/name: etcd\n",
		new: "publishNotReadyAddresses: true\n  selector:\n    app.kubernetes.io/name: etcd-server\n"},
	"statefulset-service-shared": {app: "redis-sentinel.yaml", want: warn,
		old: "    app.kubernetes.io/component: server\n  ports:", new: "  ports:"},
	"statefulset-shared-claim": {app: "cassandra.yaml", want: deny,
		old: "  volumeClaimTemplates:\n  - metadata:\n      name: data\n    spec:\n      accessModes: [ReadWriteOnce]\n    " +
			"  storageClassName: retained\n      resources:\n        requests:\n          storage: 200Gi\n",
		new: "      volumes:\n      - name: data\n        persistentVolumeClaim: {claimName: data}\n",
		add: `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: cassandra}
spec: {accessModes: [ReadWriteOnce], storageClassName: retained, resources: {requests: {storage: 200Gi}}}`},
	"statefulset-spread": {app: "nats.yaml", want: warn,
		old: "          matchLabels:\n            app.kubernetes.io/name: nats\n",
		new: "          matchLabels:\n            app.kubernetes.io/name: nats-server\n"},

	"stayput-annotation": {app: "vault.yaml", want: deny, also: []string{"statefulset-on-delete"},
		old: "exempt.stayput.dev/statefulset-on-delete", new: "exempt.stayput.dev/statefulset-on-delet"},
	"storageclass-default": {app: "vault.yaml", want: warn,
		old: "  name: scratch\n  annotations:\n",
		new: "  name: scratch\n  annotations:\n    storageclass.kubernetes.io/is-default-class: \"true\"\n"},
	"storageclass-in-use": {app: "consul.yaml", want: warn,
		gone: "StorageClass retained"},
	"storageclass-reclaim": {app: "consul.yaml", want: warn,
		old: "reclaimPolicy: Retain", new: "reclaimPolicy: Delete"},
	"volume-claim-name": {app: "prometheus.yaml", want: warn, add: `
apiVersion: v1
kind: PersistentVolume
metadata: {name: dashboards}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: retained
  claimRef: {namespace: monitoring, name: prod-grafana}
  csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1}`},
	"volume-host-path": {app: "postgresql.yaml", want: warn, add: `
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {capacity: {storage: 100Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Retain,
  storageClassName: retained, hostPath: {path: /srv/postgresql}}`},
	"volume-in-use": {app: "clickhouse.yaml", want: deny,
		gone: "PersistentVolume data-clickhouse-1"},
	"volume-reclaim": {app: "mariadb-galera.yaml", want: warn, add: `
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {capacity: {storage: 50Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Delete,
  storageClassName: retained, csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1}}`},
	"volume-same-disk": {app: "prometheus.yaml", want: warn, add: `
apiVersion: v1
kind: PersistentVolume
metadata: {name: boards}
spec: {capacity: {storage: 10Gi}, accessModes: [ReadWriteOnce], storageClassName: retained,
  csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: boards-copied}
spec: {capacity: {storage: 10Gi}, accessModes: [ReadWriteOnce], storageClassName: retained,
  csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1}}`},
	"volume-stale-claim": {app: "mysql.yaml", want: warn, add: `
apiVersion: v1
kind: PersistentVolume
metadata: {name: saved}
spec:
  capacity: {storage: 50Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: retained
  claimRef: {namespace: elsewhere, name: data-mysql-0, uid: 3f0c7a52-0000-4000-8000-000000000001}
  csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1}`},
	"workload-data-path": {app: "postgresql.yaml", want: warn,
		old: "value: /var/lib/postgresql/data/pgdata}\n        - name: POSTGRES_PASSWORD",
		new: "value: /pgdata}\n        - name: POSTGRES_PASSWORD"},
	"workload-env-order": {app: "vault.yaml", want: warn,
		old: "        env:\n        - name: VAULT_K8S_POD_NAME\n",
		new: "        env:\n        - {name: VAULT_LICENSE_PATH, value: /etc/$(VAULT_K8S_POD_NAME)}\n" +
			"        - name: VAULT_K8S_POD_NAME\n"},
	"workload-host-network-dns": {app: "vault.yaml", want: warn,
		old: "      enableServiceLinks: false", new: "      hostNetwork: true\n      enableServiceLinks: false"},
	"workload-node-name": {app: "postgresql.yaml", want: warn,
		old: "      enableServiceLinks: false", new: "      nodeName: node-a\n      enableServiceLinks: false"},
	"workload-fqdn-length": {app: "opensearch.yaml", want: warn,
		old: "      enableServiceLinks: false", new: "      setHostnameAsFQDN: true\n      enableServiceLinks: false"},
	"workload-host-path": {app: "vault.yaml", want: warn,
		old: "emptyDir: {}", new: "hostPath: {path: /srv/vault}"},
	"workload-placement": {app: "prometheus.yaml", want: warn,
		old: "      enableServiceLinks: false",
		new: "      nodeSelector: {topology.kubernetes.io/zone: eu-1a}\n      enableServiceLinks: false",
		add: `
apiVersion: v1
kind: PersistentVolume
metadata: {name: boards}
spec: {storageClassName: retained, capacity: {storage: 10Gi}, accessModes: [ReadWriteOnce],
  persistentVolumeReclaimPolicy: Retain, csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1},
  claimRef: {namespace: monitoring, name: grafana}, nodeAffinity: {required: {nodeSelectorTerms: [
    {matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [eu-1c]}]}]}}}`},
	"workload-pre-stop": {app: "prometheus.yaml", want: warn,
		old: "        image: grafana/",
		new: "        lifecycle: {preStop: {sleep: {seconds: 30}}}\n        image: grafana/"},
	"workload-selector-overlap": {app: "redis-sentinel.yaml", want: warn,
		old: "  selector:\n    matchLabels:\n      app.kubernetes.io/name: redis\n      app.kubernetes.io/component: " +
			"server\n  template:", new: "  selector:\n    matchLabels:\n      app.kubernetes.io/name: redis\n  template:"},
}
