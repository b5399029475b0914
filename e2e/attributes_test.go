package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"stayput.dev/e2e/harness"
	"stayput.dev/e2e/localcluster"
)

// attributesClass makes a VolumeAttributesClass, for this test.
func attributesClass(t *testing.T, name, driver string) {
	t.Helper()
	manifest := fmt.Sprintf("{apiVersion: storage.k8s.io/v1, kind: VolumeAttributesClass, metadata: {name: %s}, "+
		"driverName: %s, parameters: {iops: '1'}}", name, driver)
	if out, err := try(t, manifest, "create", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() {
		_, _ = env.Kubectl(context.Background(), "", "delete", "volumeattributesclass", name, "--wait=false")
	})
}

// attributesStayPending creates claims whose attributes class no volume has, and
// others that are bound: the controller compares names only.
func attributesStayPending(t *testing.T, ns string) {
	onlySince(t, 34, "VolumeAttributesClasses, unless a gate is open")
	v := func(name string) string { return ns + "-" + name }
	with := func(class string) string { return ", volumeAttributesClassName: " + class }
	gold, other := "gold-"+ns, "other-"+ns
	attributesClass(t, gold, "example.com")
	attributesClass(t, other, "other.example.com")
	forget(t, v("plain"), v("named"), v("ghost"), v("kept"), v("both"), v("choosy"), v("choosy-named"))
	kept := func(claim string) string { return ", claimRef: {namespace: " + ns + ", name: " + claim + "}" }
	static := "storageClassName: " + ns + ", " + once
	named := func(volume string) string { return static + ", volumeName: " + v(volume) }
	choosy := ", selector: {matchLabels: {disk: ssd}}"
	apply(t, ns, volumeNamed(v("named"), ns, oneGibi)+volumeNamed(v("ghost"), ns, oneGibi+with("ghost-"+ns))+
		volumeNamed(v("kept"), ns, oneGibi+kept("kept"))+volumeNamed(v("both"), ns, oneGibi+kept("both"))+
		volumeNamed(v("choosy"), ns, oneGibi+kept("choosy"))+volumeNamed(v("choosy-named"), ns, oneGibi))
	quiet := apply(t, ns, pvcNamed("ghost", static+with("ghost-"+ns))+pvcNamed("both", named("both")+with(gold)))
	if strings.Contains(quiet, "Warning") {
		t.Errorf("claims that are bound are warned of:\n%s", quiet)
	}
	out := apply(t, ns, pvcNamed("choosy", static+choosy)+pvcNamed("choosy-named", named("choosy-named")+choosy))
	if n := strings.Count(out, "it is bound all the same, and the selector is not looked at"); n != 2 {
		t.Errorf("%d warnings of a selector, want 2:\n%s", n, out)
	}
	phases(t, ns, "pvc", map[string]string{"ghost": "Bound", "both": "Bound", "choosy": "Bound", "choosy-named": "Bound"})

	out = apply(t, ns, pvcNamed("named", named("named")+with(gold))+pvcNamed("kept", static+with(gold))+
		pvcNamed("missing", "storageClassName: disk, "+once+with("gone-"+ns))+
		pvcNamed("driver", "storageClassName: disk, "+once+with(other)))
	contains(t, out, `its volumeAttributesClassName is "", not "`+gold+`"; claim and Pods stay Pending`,
		`must be "", as that of volume `+v("kept")+", which is reserved for the claim and would never be bound to it",
		`"gone-`+ns+`": must exist; claim and Pods stay Pending`,
		"must be of driver "+localcluster.HostPathProvisioner+", not other.example.com; claim and Pods stay Pending")
	apply(t, ns, volumeNamed(v("plain"), ns, oneGibi)+pvcNamed("plain", static))
	phases(t, ns, "pvc", map[string]string{"plain": "Bound"}) // and with it the controller has been round
	eventually(t, "the controller says why", func() error {
		events, err := try(t, "", "get", "events", "-n", ns, "-o", "jsonpath={.items[*].message}")
		if err == nil && !strings.Contains(events, "volumeAttributesClassName does not match") {
			err = fmt.Errorf("%s", events)
		}
		return err
	})
	phases(
		t,
		ns,
		"pvc",
		map[string]string{"named": "Pending", "kept": "Pending", "missing": "Pending", "driver": "Pending"},
	)

	// Where a claim is bound, nothing changes its volume to a class that is not there.
	patch := func(name, class string) (string, error) {
		return try(t, "", "patch", "pvc", name, "-n", ns, "-p", `{"spec":{"volumeAttributesClassName":`+class+`}}`)
	}
	out, err := patch("ghost", `"gone-`+ns+`"`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, out, "must exist; the volume stays as it is")
	output(t, "ghost-"+ns, "get", "pvc", "ghost", "-n", ns, "-o", "jsonpath={.status.currentVolumeAttributesClassName}")
	out, err = patch("ghost", `"`+gold+`"`)
	if err != nil || strings.Contains(out, "Warning") {
		t.Errorf("a class of the volume's driver: %v\n%s", err, out)
	}
	if out, err = patch("ghost", "null"); err == nil {
		t.Errorf("the API server takes none:\n%s", out)
	}
	contains(
		t,
		out,
		"field-fixed: ",
		"cannot be taken out; the volume keeps the class it has",
		"update to nil is forbidden",
	)
	if out, err = patch("kept", `"other-`+ns+`"`); err == nil {
		t.Errorf("the API server changes what is not bound:\n%s", out)
	}
	contains(t, out, "field-fixed: ", "cannot be changed before the claim is bound", "spec is immutable")
}

// TestAttributesOfTemplates changes the attributes class of a claim template by the
// recipe, and gives back a volume that has one.
func TestAttributesOfTemplates(t *testing.T) {
	t.Parallel()
	onlySince(t, 34, "VolumeAttributesClasses, unless a gate is open")
	ns := shortNamespace(t)
	gold, silver := "gold-"+ns, "silver-"+ns
	attributesClass(t, gold, "example.com")
	attributesClass(t, silver, "example.com")
	forget(t, ns+"-one", ns+"-two")
	with := func(class string) string { return ", volumeAttributesClassName: " + class }
	apply(t, ns, volumeNamed(ns+"-one", ns, oneGibi+with(silver))+volumeNamed(ns+"-two", ns, oneGibi+with(silver)))
	set := func(class string) string {
		return memberSet("db", 2, "  serviceName: db", "", template("storageClassName: "+ns+", "+once+with(class)))
	}
	apply(t, ns, set(silver))
	phases(t, ns, "pvc", map[string]string{"data-db-0": "Bound", "data-db-1": "Bound"})
	out, err := try(t, set(gold), "apply", "-n", ns, "-f", "-")
	if err == nil {
		t.Fatalf("the API server changes a template:\n%s", out)
	}
	contains(t, out, "field-fixed: spec.volumeClaimTemplates[0].spec.volumeAttributesClassName: ",
		"cannot be changed; each claim must change by itself")
	for i := range 2 {
		out = kubectl(t, "patch", "pvc", fmt.Sprintf("data-db-%d", i), "-n", ns,
			"-p", fmt.Sprintf(`{"spec":{"volumeAttributesClassName":%q}}`, gold))
		if strings.Contains(out, "Warning") {
			t.Errorf("the recipe is warned of:\n%s", out)
		}
	}
	kubectl(t, "delete", "statefulset", "db", "-n", ns, "--cascade=orphan")
	apply(t, ns, set(gold))
	output(t, gold+" "+gold, "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeAttributesClassName}")

	// Nobody changes volumes here: they are silver still, and are given back as that.
	kubectl(t, "delete", "statefulset", "db", "-n", ns)
	kubectl(t, "delete", "pvc", "--all", "-n", ns)
	for _, name := range []string{ns + "-one", ns + "-two"} {
		output(t, "Released", "get", "pv", name, "-o", "jsonpath={.status.phase}")
	}
	recovers(t, ns+"/data-db-0", "--yes")
	recovers(t, ns+"/data-db-1", "--yes")
	phases(t, ns, "pvc", map[string]string{"data-db-0": "Bound", "data-db-1": "Bound"})
	output(t, silver+" "+silver, "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].spec.volumeAttributesClassName}")
}

// TestUnservedKind has an API server that does not serve VolumeAttributesClasses, as
// those before 1.34: Stayput starts beside it, answers, and says nothing of them, and
// audit reads all else.
func TestUnservedKind(t *testing.T) {
	t.Parallel()
	cluster, err := localcluster.Start(t.Context(), localcluster.Options{Bare: true, APIServerArgs: []string{
		"--disable-admission-plugins=StorageObjectInUseProtection",
		"--runtime-config=storage.k8s.io/v1/volumeattributesclasses=false",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop() })
	b := &bare{&harness.Stayput{Cluster: cluster, Binary: env.Binary, Dir: t.TempDir(), Config: config}}
	if err := b.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := b.try(t, "", "get", "volumeattributesclasses"); err == nil {
		t.Fatalf("the API server serves them:\n%s", out)
	}
	b.kubectl(t, class, "create", "-f", "-")
	out := b.kubectl(t, pvcNamed("a", "storageClassName: disk, volumeAttributesClassName: gold, "+once)+
		pvcNamed("b", "storageClassName: gone, "+once), "apply", "-f", "-")
	contains(t, out, "claim-class: ")
	if strings.Contains(out, "claim-attributes-class") {
		t.Errorf("of a kind that nobody knows something is said:\n%s", out)
	}
	ended := stayput(t, "audit", "--kubeconfig", cluster.Kubeconfig())
	contains(t, ended.stdout+ended.stderr, "claim-class: ")
	if env.minor >= 34 { // which keeps the name of the class
		contains(t, ended.stdout+ended.stderr, "for want of: VolumeAttributesClass")
	}
	if ended.code > 1 {
		t.Errorf("audit ends with %d:\n%s\n%s", ended.code, ended.stdout, ended.stderr)
	}
}
