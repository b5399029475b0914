package deploy

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"stayput.dev/internal/whole"
)

// choices are the values that people change, each with the settings that it is
// tried in; the first is the default. A dot leads into a map.
var choices = map[string][]any{
	"mode": {"warn", "off", "enforce", false},
	"config": {map[string]any{},
		map[string]any{"rules": map[string]any{"claim-in-use": false, "statefulset-parallel": "warn"},
			"mutators":     map[string]any{"storageclass-retain": "off", "volume-retain": true},
			"allowedModes": []any{false, "warn"},
			"retain":       "all", "repair": "report", "clusterDomain": "k8s.example"},
		map[string]any{"repair": false, "retain": false, "forbidExemptions": []any{"claim-in-use"},
			"deletions": map[string]any{"callers": []any{"system:serviceaccount:backup:*",
				map[string]any{"user": "system:serviceaccount:db:operator", "namespace": "db", "kind": "PersistentVolumeClaim"}}},
			"exemptions": []any{map[string]any{"rule": "claim-in-use", "namespace": "team-*", "reason": "an operator's"}}}},
	"certificates.mode":                  {"self-signed", "cert-manager", "files"},
	"certificates.certManager.issuerRef": {map[string]any{}, map[string]any{"kind": "ClusterIssuer", "name": "corporate"}},
	"certificates.files.caBundle":        {"", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"},
	"createNamespace":                    {false, true},
	"fullnameOverride":                   {"", "guard"},
	"commonLabels": {map[string]any{}, map[string]any{"team": "data",
		"app.kubernetes.io/name": "other"}},
	"commonAnnotations": {map[string]any{}, map[string]any{"note": "a: b # c"}},
	"replicas":          {2, 1, 3},
	"image.tag":         {"", "1.2.3"},
	"image.digest":      {"", "sha256:" + strings.Repeat("0f", 32)},
	"imagePullSecrets":  {[]any{}, []any{map[string]any{"name": "pull"}}},
	"resources": {map[string]any{"limits": map[string]any{"memory": "512Mi"}}, map[string]any{},
		map[string]any{"limits": map[string]any{"memory": "1Gi", "cpu": 1}}},
	"topologySpreadConstraints": {[]any{map[string]any{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
		"whenUnsatisfiable": "ScheduleAnyway"}}, []any{}},
	"podDisruptionBudget": {map[string]any{"enabled": true}, map[string]any{"enabled": false},
		map[string]any{"enabled": true, "maxUnavailable": "50%"}},
	"priorityClassName": {"system-cluster-critical", ""},
	"tolerations":       {[]any{}, []any{map[string]any{"operator": "Exists"}}},
	"affinity": {map[string]any{},
		map[string]any{"nodeAffinity": map[string]any{
			"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{"nodeSelectorTerms": []any{
				map[string]any{"matchExpressions": []any{map[string]any{"key": "disk", "operator": "Exists"}}},
			}},
		}}},
	"podAnnotations":                {map[string]any{}, map[string]any{"sidecar.istio.io/inject": "false"}},
	"podLabels":                     {map[string]any{}, map[string]any{"team": "data"}},
	"terminationGracePeriodSeconds": {120, 30},
	"logLevel":                      {"info", "debug"},
	"extraArgs":                     {[]any{}, []any{"--kubeconfig=", "--standalone=false"}},
	"webhook": {map[string]any{}, map[string]any{"port": 9443, "timeoutSeconds": 10,
		"clusterIP":         "10.96.0.53",
		"failurePolicy":     map[string]any{"deletion.stayput.dev": "Ignore"},
		"namespaceSelector": []any{map[string]any{"key": "team", "operator": "Exists"}}}},
	"serviceAccount": {map[string]any{}, map[string]any{"create": false, "name": "given"},
		map[string]any{"name": "named", "annotations": map[string]any{"a": "b"}}},
	"metrics.enabled": {true, false},
	"serviceMonitor": {map[string]any{"enabled": false},
		map[string]any{"enabled": true, "interval": "30s", "labels": map[string]any{"release": "prometheus"}}},
	"prometheusRule": {map[string]any{"enabled": false},
		map[string]any{"enabled": true, "alertLabels": map[string]any{"team": "data", "severity": "page"}}},
	"dashboards.enabled": {false, true},
	"networkPolicy": {map[string]any{"enabled": false}, map[string]any{"enabled": true},
		map[string]any{"enabled": true, "metricsFrom": []any{map[string]any{"namespaceSelector": map[string]any{}}},
			"apiServerPorts": []any{6443}}},
	"test.namespace": {"default", "stayput"},
}

// A pair is two settings that must be tried together.
type pair struct {
	a, b         string
	aWith, bWith int
}

// refused says which combination the chart refuses, with a message of its own.
func refused(setting map[string]int) bool {
	return setting["serviceMonitor"] == 1 && setting["metrics.enabled"] == 1
}

// covering returns combinations of settings in which every pair occurs that is
// not refused: greedily, each one as many new pairs as it can.
func covering() (rows []map[string]int) {
	names := slices.Sorted(maps.Keys(choices))
	missing := map[pair]bool{}
	for i, a := range names {
		for _, b := range names[i+1:] {
			for x := range choices[a] {
				for y := range choices[b] {
					if !refused(map[string]int{a: x, b: y}) {
						missing[pair{a, b, x, y}] = true
					}
				}
			}
		}
	}
	rows = append(rows, map[string]int{}) // the defaults
	for _, name := range names {
		rows[0][name] = 0
	}
	settle(missing, rows[0])
	for len(missing) > 0 {
		row := map[string]int{}
		first := slices.SortedFunc(maps.Keys(missing), func(p, q pair) int {
			return strings.Compare(p.a+" "+p.b+string(rune('0'+p.aWith))+string(rune('0'+p.bWith)),
				q.a+" "+q.b+string(rune('0'+q.aWith))+string(rune('0'+q.bWith)))
		})[0]
		row[first.a], row[first.b] = first.aWith, first.bWith
		for _, name := range names {
			if _, ok := row[name]; !ok {
				row[name] = best(missing, row, name)
			}
		}
		rows = append(rows, row)
		settle(missing, row)
	}
	return rows
}

// best returns the setting of name that covers most of what is missing.
func best(missing map[pair]bool, row map[string]int, name string) (setting int) {
	most := -1
	for x := range choices[name] {
		row[name] = x
		n := 0
		for other, y := range row {
			if missing[ordered(name, other, x, y)] {
				n++
			}
		}
		if n > most && !refused(row) {
			most, setting = n, x
		}
	}
	return setting
}

func ordered(a, b string, x, y int) pair {
	if a > b {
		a, b, x, y = b, a, y, x
	}
	return pair{a, b, x, y}
}

func settle(missing map[pair]bool, row map[string]int) {
	for a, x := range row {
		for b, y := range row {
			delete(missing, ordered(a, b, x, y))
		}
	}
}

// valuesOf returns the values of a combination.
func valuesOf(t *testing.T, row map[string]int) string {
	t.Helper()
	values := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(row)) {
		at := values
		parts := strings.Split(name, ".")
		for _, part := range parts[:len(parts)-1] {
			if at[part] == nil {
				at[part] = map[string]any{}
			}
			at = at[part].(map[string]any)
		}
		at[parts[len(parts)-1]] = choices[name][row[name]]
	}
	if row["certificates.mode"] == 2 {
		values["certificates"].(map[string]any)["files"].(map[string]any)["secretName"] = "tls"
	}
	data, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestEveryPairOfValues renders the chart with every pair of settings. The
// objects are Kubernetes', the Pods restricted, and the binary takes their
// arguments and their configuration.
func TestEveryPairOfValues(t *testing.T) {
	whole.Only(t, "Helm, which is built from a module of its own")
	binary := filepath.Join(t.TempDir(), "stayput")
	if out, err := exec.Command("go", "build", "-o", binary, "stayput.dev/cmd/stayput").CombinedOutput(); err != nil {
		t.Fatalf("build stayput: %v\n%s", err, out)
	}
	rows := covering()
	t.Logf("%d combinations of %d values", len(rows), len(choices))
	for _, row := range rows {
		values := valuesOf(t, row)
		objs := mustRender(t, values)
		typed(t, objs)
		restricted(t, objs)
		bound(t, objs)
		accepted(t, binary, objs)
		if t.Failed() {
			t.Fatalf("with values\n%s", values)
		}
	}
}

// bound has every role given to the account of some Pod, and to nobody else.
func bound(t *testing.T, objs []*unstructured.Unstructured) {
	t.Helper()
	accounts := map[string]bool{deployment(t, objs).Spec.Template.Spec.ServiceAccountName: true}
	for _, o := range objs {
		if o.GetKind() == "Pod" {
			account, _, _ := unstructured.NestedString(o.Object, "spec", "serviceAccountName")
			accounts[account] = true
		}
	}
	given := map[string]int{}
	for _, o := range objs {
		var subjects []rbacv1.Subject
		var role rbacv1.RoleRef
		switch o.GetKind() {
		case "ClusterRoleBinding":
			var b rbacv1.ClusterRoleBinding
			find(t, objs, o.GetKind(), o.GetName(), &b)
			subjects, role = b.Subjects, b.RoleRef
		case "RoleBinding":
			var b rbacv1.RoleBinding
			find(t, objs, o.GetKind(), o.GetName(), &b)
			subjects, role = b.Subjects, b.RoleRef
		default:
			continue
		}
		given[role.Kind+" "+o.GetNamespace()+"/"+role.Name]++
		if len(subjects) != 1 || subjects[0].Kind != "ServiceAccount" || subjects[0].Namespace != "stayput" ||
			!accounts[subjects[0].Name] {
			t.Errorf("%s %s is for %v, Pods are %v", o.GetKind(), o.GetName(), subjects, accounts)
		}
	}
	for _, o := range objs {
		if strings.HasSuffix(o.GetKind(), "Role") {
			key := o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
			if given[key] != 1 {
				t.Errorf("%s is bound %d times", key, given[key])
			}
			delete(given, key)
		}
	}
	for key := range given {
		t.Errorf("%s is bound, and does not exist", key)
	}
}

// accepted has the binary parse the arguments of the Pods and the
// configuration.
func accepted(t *testing.T, binary string, objs []*unstructured.Unstructured) {
	t.Helper()
	d := deployment(t, objs)
	var config corev1.ConfigMap
	find(t, objs, "ConfigMap", d.Name+"-config", &config)
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(config.Data["config.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "webhooks", "--service", "a", "--namespace", "b", "--config",
		file).CombinedOutput(); err != nil {
		t.Errorf("the configuration: %v\n%s\n%s", err, out, config.Data["config.yaml"])
	}
	var probe corev1.Pod
	find(t, objs, "Pod", d.Name+"-probe", &probe)
	for _, args := range [][]string{d.Spec.Template.Spec.Containers[0].Args, probe.Spec.Containers[0].Args} {
		// Help is given once all flags are parsed.
		if out, err := exec.Command(binary, append(slices.Clone(args), "--help")...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

// TestRefusals are values that the chart must not take.
func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct{ values, want string }{
		"an unknown value":        {"replica: 3", "replica"},
		"no replica":              {"replicas: 0", "replicas"},
		"a mode that is none":     {"mode: strict", "mode"},
		"a level that is none":    {"config: {rules: {claim-in-use: loud}}", "claim-in-use"},
		"a mode in config":        {"config: {mode: warn}", "mode"},
		"a timeout that is long":  {"webhook: {timeoutSeconds: 30}", "timeoutSeconds"},
		"an unknown webhook":      {"webhook: {failurePolicy: {pod.stayput.dev: Fail}}", "pod.stayput.dev"},
		"files without a Secret":  {"certificates: {mode: files}", "certificates.files.secretName"},
		"a monitor of nothing":    {"{serviceMonitor: {enabled: true}, metrics: {enabled: false}}", "metrics.enabled"},
		"a port that is none":     {"webhook: {port: 70000}", "port"},
		"an address that is none": {"webhook: {clusterIP: stayput}", "clusterIP"},
		"a grace that is short":   {"terminationGracePeriodSeconds: 5", "terminationGracePeriodSeconds"},
		"an exemption, no reason": {"config: {exemptions: [{rule: claim-in-use}]}", "reason"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render(t, tc.values)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want a refusal that names %s", err, tc.want)
			}
		})
	}
}
