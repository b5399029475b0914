package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"stayput.dev/manifest"
)

// TestKubectlReads has kubectl read texts in which documents, objects and markers
// meet in every way that tools write them, and lint too: what kubectl takes lint
// reviews, what it refuses is an error of lint, and so is what it drops without
// a word.
func TestKubectlReads(t *testing.T) {
	a, b, c := object("a"), object("b"), object("c")
	ja, jb, jc := inline("a"), inline("b"), inline("c")
	for name, text := range map[string]string{
		"YAML":                       a + "---\n" + b,
		"a first marker":             "---\n" + a + "---\n" + b,
		"comments on markers":        "--- # first\n" + a + "---\t# second\n" + b,
		"markers around nothing":     "---\n---\n# nothing\n---\n" + a + "---\n",
		"carriage returns":           strings.ReplaceAll(a+"---\n"+b, "\n", "\r\n"),
		"a byte order mark":          "\ufeff" + a + "---\n" + b,
		"an end at the end":          a + "...\n",
		"an end, then a comment":     a + "...\n# that was it\n",
		"an end before all":          "...\n" + a,
		"an end, then a document":    a + "...\n" + b,
		"an end and a marker":        a + "...\n---\n" + b,
		"an end, a gap, a marker":    a + "...\n" + b + "---\n" + c,
		"ends":                       a + "...\n...\n",
		"an end, then a directive":   a + "...\n%YAML 1.2\n---\n" + b,
		"a directive":                "%YAML 1.2\n---\n" + a,
		"a directive later":          a + "---\n%YAML 1.2\n---\n" + b,
		"a tag directive":            "%TAG ! tag:example.com,2026:\n---\n" + a,
		"on the line of the marker":  "--- " + ja + "\n---\n" + b,
		"on the line of the second":  a + "--- " + jb + "\n---\n" + c,
		"a long marker":              a + "----\n" + b,
		"a tag on the marker":        "--- !!map\n" + a,
		"JSON":                       ja + "\n" + jb + "\n" + jc + "\n",
		"JSON without gaps":          ja + jb + jc,
		"JSON behind white space":    "\n \t\n" + ja + "\n" + jb + "\n",
		"JSON, then YAML":            ja + "\n---\n" + b,
		"JSON, then YAML twice":      ja + "\n---\n" + b + "---\n" + c,
		"two JSON, then YAML":        ja + "\n" + jb + "\n---\n" + c,
		"one JSON and a marker":      ja + "\n---\n",
		"JSON, then a comment":       ja + "\n# that was it\n",
		"JSON, JSON, then a comment": ja + "\n" + jb + "\n# that was it\n",
		"YAML, then JSON":            a + "---\n" + jb + "\n",
		"YAML, then two JSON":        a + "---\n" + jb + "\n" + jc + "\n",
		"YAML, two JSON, YAML":       a + "---\n" + jb + "\n" + jc + "\n---\n" + object("d"),
		"a comment, then JSON":       "# made by hand\n" + ja + "\n",
		"a comment, then two JSON":   "# made by hand\n" + ja + "\n" + jb + "\n",
		"JSON between markers":       "---\n" + ja + "\n---\n" + jb + "\n---\n",
		"JSON, a gap, then YAML":     ja + "\n\n\n---\n" + b,
		"JSON that is YAML":          `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}` + "\n---\n" + b,
		"JSON that is YAML, twice":   strings.Repeat(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`+"\n", 2),
		"a list":                     `{"apiVersion": "v1", "kind": "List", "items": [` + ja + "," + jb + "]}\n",
		"a document that is null":    "null\n---\n" + a,
		"nothing but ends":           "...\n",
		"markers in a text": strings.Replace(a, "data: {}", "data:\n  x: |\n    ---\n    ...\n    y", 1) + "---\n" +
			b,
	} {
		t.Run(name, func(t *testing.T) {
			stream := manifest.ReadStream("all.yaml", []byte(text))
			read := []string{}
			for _, m := range stream.Manifests {
				read = append(read, m.GetName())
			}
			leaves := slices.ContainsFunc(stream.Errors,
				func(err *manifest.StreamError) bool { return errors.Is(err, manifest.ErrLeftOut) })
			for _, mode := range []string{"client", "server"} {
				out, err := env.Kubectl(t.Context(), text, "apply", "--dry-run="+mode, "-f", "-", "-o", "name")
				taken := []string{}
				for line := range strings.Lines(out) {
					if name, ok := strings.CutPrefix(strings.TrimSpace(line), "configmap/"); ok {
						taken = append(taken, name)
					}
				}
				switch refused := err != nil && !strings.Contains(out, "no objects passed to apply"); {
				case refused:
					if len(stream.Errors) == 0 {
						t.Errorf("kubectl refuses this (%s), and lint does not:\n%s\n%s", mode, text, out)
					}
				case fmt.Sprint(taken) != fmt.Sprint(read):
					t.Errorf("kubectl takes %v (%s), and lint %v (%v):\n%s\n%s", taken, mode, read, stream.Errors, text, out)
				case len(stream.Errors) > 0 && !leaves:
					t.Errorf("kubectl takes this (%s), and lint says %v:\n%s", mode, stream.Errors, text)
				case leaves != (len(taken) < strings.Count(text, "ConfigMap")):
					t.Errorf("kubectl takes %v of this (%s), and lint says %v:\n%s", taken, mode, stream.Errors, text)
				}
			}
		})
	}
}

// object is a ConfigMap as people write it, and inline as programs do.
func object(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\ndata: {}\n"
}

func inline(name string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": %q}}`, name)
}

// TestWhatBecomesOfTexts shows the findings of lint about values that are stored
// differently from the manifest: the API server keeps thousandths of bytes, with a
// warning, in claims and templates; client-side apply loses one of two ports with
// the same number, and server-side apply does not.
func TestWhatBecomesOfTexts(t *testing.T) {
	ns := namespace(t, "stayput.dev/mode=off")
	const claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\n" +
		"spec: {storageClassName: none, accessModes: [ReadWriteOnce], resources: {requests: {storage: 0.1Gi}}}\n---\n"
	set := strings.Replace(strings.Replace(readFile(t, "testdata", "mysql.yaml"), "storage: 1Gi", "storage: 0.1Gi", 1),
		"replicas: 3", "replicas: 0", 1)
	contains(t, apply(t, ns, claim+set),
		`spec.resources.requests[storage]: fractional byte value "107374182400m"`,
		`spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value "107374182400m"`)
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: dns}\nspec: {clusterIP: None, ports: [%s]}\n"
	const udp, both = "{name: udp, port: 53, protocol: UDP}",
		"{name: udp, port: 53, protocol: UDP}, {name: tcp, port: 53, protocol: TCP}"
	const ports = "jsonpath={.spec.ports[*].name}"
	for _, c := range []struct{ mode, want string }{{"--server-side=false", "udp"}, {"--server-side", "udp tcp"}} {
		for _, list := range []string{udp, both} {
			if out, err := try(t, fmt.Sprintf(service, list), "apply", c.mode, "-n", ns, "-f", "-"); err != nil {
				t.Fatalf("kubectl apply %s: %v\n%s", c.mode, err, out)
			}
		}
		if got := kubectl(t, "get", "service", "dns", "-n", ns, "-o", ports); got != c.want {
			t.Errorf("after kubectl apply %s of both ports the Service has %q, want %q", c.mode, got, c.want)
		}
		kubectl(t, "delete", "service", "dns", "-n", ns)
	}
}
