package e2e

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A note is one manifest of the user's notes, and the messages that Stayput gives
// for it.
type note struct {
	lint    []string // findings of lint over the file as written: "level rule"
	apply   []string // findings that kubectl apply shows, of what the API server takes
	denied  bool
	says    []string // what else kubectl prints
	strict  string   // why kubectl itself refuses it, with its strict validation
	applied bool     // examples/notes/applied has the file with what the API server insists on
	before  string   // a manifest that is there first
}

// replicated is what a StatefulSet of several replicas is told that has
// neither probes nor a budget nor rules about where its Pods go.
var replicated = []string{"warn statefulset-disruption-budget", "warn statefulset-readiness", "warn statefulset-spread"}

var notes = map[string]note{
	"state-persistence-1-nginx-service": {},
	"state-persistence-2-web-statefulset": {
		lint:  append([]string{"warn claim-template-class", "warn statefulset-service-missing"}, replicated...),
		apply: append([]string{"warn claim-template-class", "warn statefulset-service-missing"}, replicated...),
		says:  []string{`Not found: "my-storage-class"`, "statefulset.apps/web created"},
	},
	"state-persistence-3-mysql-service": {},
	"volumes-1-persistent-volume":       {says: []string{"persistentvolume/pv-vol1 created"}},
	"volumes-2-claim": {
		// The volume of the file before it is twice as large, and is taken whole.
		lint: []string{"warn claim-class"}, apply: []string{"warn claim-oversized-volume"},
		says: []string{"the nearest volume, pv-vol1, has 1Gi", "persistentvolumeclaim/myclaim created"},
	},
	"volumes-3-reclaim-policy-typo": {
		lint:   []string{"warn unknown-field: spec.persistentVolumeRecalimPolicy"},
		strict: `unknown field "spec.persistentVolumeRecalimPolicy"`,
		says:   []string{"persistentvolume/pv-vol2 created"},
	},
	"volumes-4-parallel-statefulset": {
		lint:  append([]string{"warn statefulset-parallel", "warn statefulset-service-missing"}, replicated...),
		apply: append([]string{"warn statefulset-parallel", "warn statefulset-service-missing"}, replicated...),
		says:  []string{`Not found: "mysql-h"`, "statefulset.apps/mysql created"},
	},
	"volumes-5-headless-service": {},
	"volumes-6-pod": {
		lint: []string{"warn pod-subdomain"}, apply: []string{"warn pod-subdomain"},
		says: []string{"pod/mysql-pod created"},
	},
	"volumes-7-deployment": {
		lint: []string{"warn deployment-hostname", "warn deployment-subdomain"}, applied: true,
		apply: []string{"deny deployment-hostname", "warn deployment-subdomain"}, denied: true,
		says: []string{"Error from server (Forbidden)", "share the DNS name mysql-pod.mysql-h",
			"stayput.dev/subdomain: mysql-h"},
	},
	"volumes-8-statefulset": {
		lint: []string{"warn statefulset-service-missing"}, applied: true,
		before: headlessService, says: []string{"statefulset.apps/mysql created"},
	},
	"volumes-9-storage-statefulset": {
		lint: append([]string{
			"warn unknown-field: spec.volumeClaimTemplates[0].spec.resource", "hint claim-template-storage",
			"deny statefulset-service-name", "warn claim-template-class",
		}, replicated...),
		strict: `unknown field "spec.volumeClaimTemplates[0].spec.resource"`,
		// The API server refuses it by itself; the hint says why.
		apply: []string{"warn claim-template-storage"}, denied: true,
		says: []string{"resource", "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"},
	},
}

var lintLine = regexp.MustCompile(`(?m)^\S+:\d+:\d+: (hint|warn|deny): (unknown-field: [^:]+|[a-z-]+)`)

func TestNotesAsWritten(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../examples/notes/as-written/*.yaml")
	if err != nil || len(files) != len(notes) {
		t.Fatalf("%d files (%v), want %d", len(files), err, len(notes))
	}
	for name, want := range notes {
		t.Run(name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), env.Binary, "lint",
				"--complete=namespaced,Namespace,Node,PersistentVolume,StorageClass",
				filepath.Join("../examples/notes/as-written", name+".yaml")).CombinedOutput()
			var got []string
			for _, m := range lintLine.FindAllStringSubmatch(string(out), -1) {
				got = append(got, m[1]+" "+m[2])
			}
			compare(t, want.lint, got, string(out))
			refused := slices.ContainsFunc(want.lint, func(s string) bool { return !strings.HasPrefix(s, "warn") })
			if (err != nil) != refused {
				t.Errorf("exit: %v\n%s", err, out)
			}
		})
	}
}

var (
	kubectlWarning = regexp.MustCompile(`(?m)^Warning: ([a-z-]+): `)
	kubectlDenial  = regexp.MustCompile(`(?m)(?:denied the request: |^- )([a-z-]+): `)
)

// TestNotesApplied applies one manifest after the other, for the claim takes the
// volume that comes before it. No other test makes claims in that time: one of
// theirs might take the volume.
func TestNotesApplied(t *testing.T) {
	t.Cleanup(func() {
		_, _ = env.Kubectl(context.Background(), "", "delete", "pv", "pv-vol1", "pv-vol2", "--wait=false",
			"--ignore-not-found")
	})
	// Nor does one that an earlier test has left in a namespace that still goes.
	eventually(t, "no other claim waits for a volume of no class", func() error {
		claims, err := env.client.CoreV1().PersistentVolumeClaims("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, c := range claims.Items {
			if class := c.Spec.StorageClassName; c.Status.Phase == corev1.ClaimPending && (class == nil || *class == "") {
				return fmt.Errorf("%s/%s does", c.Namespace, c.Name)
			}
		}
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(notes)) {
		want := notes[name]
		if name == "volumes-9-storage-statefulset" && env.minor < 34 { // the API server takes it, so that Stayput denies it
			want.apply = append([]string{"deny claim-template-storage", "deny statefulset-service-name",
				"warn claim-template-class"}, replicated...)
			want.says = []string{`it stands under "resource"`, "no claim can be made, and no Pod is"}
		}
		t.Run(name, func(t *testing.T) {
			ns, dir := namespace(t), "as-written"
			if want.applied {
				dir = "applied"
			}
			file := filepath.Join("../examples/notes", dir, name+".yaml")
			if want.before != "" {
				apply(t, ns, want.before)
			}
			out, err := try(t, "", "apply", "--validate=strict", "-n", ns, "-f", file)
			if want.strict != "" {
				if err == nil || !strings.Contains(out, want.strict) {
					t.Errorf("strict: %v\n%s", err, out)
				}
				out, err = try(t, "", "apply", "--validate=ignore", "-n", ns, "-f", file)
			}
			if (err != nil) != want.denied {
				t.Errorf("%v\n%s", err, out)
			}
			var got []string
			for _, m := range kubectlWarning.FindAllStringSubmatch(out, -1) {
				got = append(got, "warn "+m[1])
			}
			for _, m := range kubectlDenial.FindAllStringSubmatch(out, -1) {
				got = append(got, "deny "+m[1])
			}
			compare(t, want.apply, got, out)
			contains(t, out, want.says...)
			if name == "volumes-2-claim" {
				output(t, "pv-vol1 1Gi", "get", "pvc", "myclaim", "-n", ns, "-o",
					"jsonpath={.spec.volumeName} {.status.capacity.storage}")
			}
		})
	}
}

func compare(t *testing.T, want, got []string, out string) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, out)
	}
}
