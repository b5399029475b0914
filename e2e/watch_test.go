package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"stayput.dev/e2e/harness"
)

// TestTheWatchIsCut cuts the watches of Stayput's informers for half a minute (ten
// as proof: figure R10), and lets all other requests pass. Stayput still guards
// objects whose creation it has not seen, no longer guards those whose deletion it
// has not seen, gives the right verdict otherwise, and stays ready.
func TestTheWatchIsCut(t *testing.T) {
	t.Parallel()
	away := 30 * time.Second
	if os.Getenv("STAYPUT_PROOF") != "" {
		away = 10 * time.Minute
	}
	var l laggard
	b := newBare(t, "", func(s *harness.Stayput) { l.between(t, s) })
	probes := newProbes(t, b, unthrottled(t, b))
	right(t, probes, "the start")
	mysql := strings.Replace(readFile(t, "testdata", "mysql.yaml"), "replicas: 3", "replicas: 1", 1)
	claim := strings.ReplaceAll(staleClaim, ", volumeName: NS", "")
	second := strings.ReplaceAll(claim, "data-mysql-0", "data-mysql-1")
	for _, ns := range []string{"made", "grown", "gone"} {
		b.kubectl(t, "", "create", "namespace", ns)
		b.kubectl(t, claim+second, "create", "-n", ns, "-f", "-")
	}
	for _, ns := range []string{"grown", "gone"} {
		b.kubectl(t, mysql, "create", "-n", ns, "-f", "-")
	}
	asked := func(ns, name string) (string, error) {
		return b.try(t, "", "delete", "pvc", name, "-n", ns, "--dry-run=server")
	}
	for _, ns := range []string{"grown", "gone"} {
		eventually(t, "a denial", func() error {
			if out, err := asked(ns, "data-mysql-0"); err == nil || !strings.Contains(out, "claim-in-use: ") {
				return &notDenied{out}
			}
			return nil
		})
	}

	l.cut()
	defer l.mend()
	b.kubectl(t, mysql, "create", "-n", "made", "-f", "-")
	b.kubectl(t, "", "scale", "statefulset", "mysql", "-n", "grown", "--replicas=2")
	b.kubectl(t, "", "delete", "statefulset", "mysql", "-n", "gone")
	writes := len(l.written())
	load, until := startLoad(t, probes, 100*time.Millisecond), time.Now().Add(away)
	for tries := 0; tries < 2 || time.Now().Before(until); tries++ {
		for _, of := range [][2]string{{"made", "data-mysql-0"}, {"grown", "data-mysql-1"}} {
			if out, err := asked(of[0], of[1]); err == nil || !strings.Contains(out, "claim-in-use: ") {
				t.Fatalf("the claim of a StatefulSet that is %s unseen can be deleted: %v\n%s", of[0], err, out)
			}
		}
		if out, err := asked("gone", "data-mysql-0"); err != nil {
			t.Fatalf("the claim of a StatefulSet that is gone unseen cannot be deleted: %v\n%s", err, out)
		}
		if err := b.Ready(t.Context()); err != nil {
			t.Fatalf("%v\n%s", err, b.Log())
		}
		time.Sleep(away / 10)
	}
	load.stop()
	// All of the load was dry runs: figure R18.
	if writes := l.written()[writes:]; len(writes) > 0 {
		t.Errorf("Stayput has written: %q", writes)
	}
	verdicts, none, open := load.counts()
	t.Logf("%s without watches: %d verdicts, all right; %d requests without one, %d let pass", away, verdicts, none, open)
	if verdicts < 50 || none > 0 || open > 0 {
		t.Errorf("%d verdicts, %d requests without one, %d let pass", verdicts, none, open)
	}
	l.mend()
	right(t, probes, "the watches are mended")
}
