// Package whole says how much of the tests a run of go test is to do. On a laptop,
// go test ./... leaves out what needs a control plane, root, Chromium, promtool,
// modules that are not those of this one, or many minutes. make test, and with it
// CI, sets STAYPUT_TESTS=all and leaves out nothing.
package whole

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// Wanted says whether everything is to run: STAYPUT_TESTS is all, or proof is
// wanted, or -run names what to run.
func Wanted() bool {
	run := flag.Lookup("test.run")
	return os.Getenv("STAYPUT_TESTS") == "all" || os.Getenv("STAYPUT_PROOF") != "" || run != nil &&
		run.Value.String() != ""
}

// Only skips a test that is of the whole run alone, and says what it needs.
func Only(t *testing.T, needs string) {
	t.Helper()
	if !Wanted() {
		t.Skip(leftOut(needs))
	}
}

// NotShort skips a test in a run with -short, and says why.
func NotShort(t *testing.T, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out by -short, for it " + why)
	}
}

// LeavesOut says whether all tests of a package are left out, which need the same,
// and prints so: it is for a TestMain, once flags are parsed.
func LeavesOut(needs string) bool {
	if Wanted() {
		return false
	}
	fmt.Println(leftOut(needs))
	return true
}

func leftOut(needs string) string {
	return "left out, for it needs " + needs +
		"; to run it: make test, or go test -run with its name, or STAYPUT_TESTS=all"
}
