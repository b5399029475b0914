package validators

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestHeadlessService(t *testing.T) {
	many := make([]corev1.ContainerPort, 40)
	for i := range many {
		many[i].ContainerPort = int32(i + 1)
	}
	tests := map[string]struct {
		labels map[string]string
		ports  []corev1.ContainerPort
		want   string
	}{
		"no ports": {
			labels: map[string]string{"app": "db"},
			want: `{apiVersion: v1, kind: Service, metadata: {name: db, namespace: prod}, spec: {clusterIP: None, selector: ` +
				`{app: db}}}`,
		},
		"one port without a name, as YAML's own words are quoted": {
			labels: map[string]string{"app": "db", "on": "yes", "version": "1.10"},
			ports:  []corev1.ContainerPort{{ContainerPort: 5432}},
			want: `{apiVersion: v1, kind: Service, metadata: {name: db, namespace: prod}, spec: {clusterIP: None, ports: ` +
				`[{port: 5432}], selector: {app: db, "on": "yes", version: "1.10"}}}`,
		},
		"several ports, all named, none twice": {
			labels: map[string]string{"app": "db"},
			ports: []corev1.ContainerPort{
				{Name: "pg", ContainerPort: 5432}, {ContainerPort: 53, Protocol: "UDP"}, {ContainerPort: 5432, Protocol: "TCP"},
			},
			want: `{apiVersion: v1, kind: Service, metadata: {name: db, namespace: prod}, spec: {clusterIP: None, ports: ` +
				`[{name: pg, port: 5432}, {name: udp-53, port: 53, protocol: UDP}], selector: {app: db}}}`,
		},
		"more ports than a message holds": {
			labels: map[string]string{"app": "db"},
			ports:  many,
			want: `{apiVersion: v1, kind: Service, metadata: {name: db, namespace: prod}, spec: {clusterIP: None, selector: ` +
				`{app: db}}}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "prod"}}
			sts.Spec.Template.Labels = tt.labels
			sts.Spec.Template.Spec.Containers = []corev1.Container{{Ports: tt.ports}}
			if got := flowYAML(headlessService(sts, "db", tt.labels, 200)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestHeadlessName(t *testing.T) {
	if got := headlessName("db"); got != "db-headless" {
		t.Errorf("got %q", got)
	}
	if got := headlessName(strings.Repeat("a", 53) + "-" + strings.Repeat("b", 9)); got != strings.Repeat("a",
		53)+"-headless" {
		t.Errorf("got %q, %d characters", got, len(got))
	}
}
