package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestDirectoriesApplyInEitherOrder sends the StatefulSet before its Service
// and after it: kubectl sorts files by name, not by kind.
func TestDirectoriesApplyInEitherOrder(t *testing.T) {
	for name, files := range map[string][2]string{
		"service first":     {"a-service.yaml", "b-statefulset.yaml"},
		"statefulset first": {"b-service.yaml", "a-statefulset.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, dir := namespace(t), t.TempDir()
			for file, text := range map[string]string{
				files[0]: headlessService, files[1]: strings.Replace(readFile(t, "testdata", "mysql.yaml"), "replicas: 3",
					"replicas: 1", 1),
			} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(outside.runnable(text)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := try(t, "", "apply", "-n", ns, "-f", dir)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if missing := strings.Contains(out, "statefulset-service-missing"); missing != strings.HasPrefix(files[1], "a-") {
				t.Errorf("warned of a missing Service: %v\n%s", missing, out)
			}
			resolve(t, "mysql-0.mysql-h."+ns+".svc.cluster.local")
		})
	}
}

// TestAServiceOfAMillisecondAgoIsSeen creates the StatefulSet as soon as the
// API server has answered for its Service: no watch is that fast.
func TestAServiceOfAMillisecondAgoIsSeen(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	for i := range 50 {
		name := "db" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{ClusterIP: "None",
			Selector: map[string]string{"app": name}}}
		if _, err := env.client.CoreV1().Services(ns).Create(t.Context(), svc, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		warnings := createStatefulSet(t, ns, name)
		for _, w := range warnings {
			if strings.Contains(w, "statefulset-service") {
				t.Errorf("try %d: %s", i, w)
			}
		}
	}
}
