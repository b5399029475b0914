package main

import (
	"fmt"

	"stayput.dev/e2e/localcluster"
)

const service = `apiVersion: v1
kind: Service
metadata: {name: mysql-h}
spec: {clusterIP: None, selector: {app: mysql}, ports: [{port: 3306}]}
`

// deployment returns the Deployment of the notes, with what the API server
// insists on, more fields of the Pod, and more labels.
func deployment(spec, labels string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: mysql-deployment, labels: {app: mysql}}
spec:
  replicas: 3
  selector: {matchLabels: {app: mysql}}
  template:
    metadata: {labels: {app: mysql%s}}
    spec: {%scontainers: [{name: mysql, image: mysql}]}
`, labels, spec)
}

const pod = `apiVersion: v1
kind: Pod
metadata: {name: mysql-pod, labels: {app: mysql, stayput.dev/subdomain: mysql-h}}
spec: {containers: [{name: mysql, image: mysql}]}
`

const class = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: my-storage-class}
provisioner: ` + localcluster.HostPathProvisioner + `
reclaimPolicy: Delete
`

const database = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: mysql, labels: {app: mysql}}
spec:
  replicas: 2
  selector: {matchLabels: {app: mysql}}
  template:
    metadata: {labels: {app: mysql}}
    spec:
      containers:
      - {name: mysql, image: mysql, volumeMounts: [{name: data, mountPath: /var/lib/mysql}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: my-storage-class, resources: {requests: {storage: 500Mi}}}
`
