package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSecurityAnswersEveryRow holds docs/security.md to the checklists: each row
// stands there once, and is answered by tests that exist, by a document that
// exists, or by a reason for doing without.
func TestSecurityAnswersEveryRow(t *testing.T) {
	text, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	for _, name := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(tests, name[1]) {
			t.Errorf("there is no test %s", name[1])
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(link[1], "https://") {
			continue
		}
		if _, err := os.Stat(filepath.FromSlash(link[1])); err != nil {
			t.Errorf("a link leads nowhere: %v", err)
		}
	}
	answered := regexp.MustCompile("`(Test|Fuzz)|\\]\\(|not taken, because .|as [A-Z]+[0-9]+|`make ")
	rows := map[string]int{}
	for _, row := range regexp.MustCompile(`(?m)^\| ((?:GP|T|M)[0-9]+) \|.*\| (.*) \|$`).
		FindAllStringSubmatch(string(text), -1) {
		rows[row[1]]++
		if !answered.MatchString(row[2]) && !strings.HasPrefix(row[2], "TLS") {
			t.Errorf("%s is not answered: %s", row[1], row[2])
		}
	}
	for _, id := range checklist() {
		if rows[id] != 1 {
			t.Errorf("%s stands there %d times", id, rows[id])
		}
		delete(rows, id)
	}
	for id := range rows {
		t.Errorf("%s is in no checklist", id)
	}
}

// checklist returns the ids of all rows. GP23 and GP35 are headings in the good
// practices, and no recommendations.
func checklist() (ids []string) {
	for _, list := range []struct {
		prefix string
		n      int
	}{{"GP", 38}, {"T", 18}, {"M", 10}} {
		for i := range list.n {
			if id := fmt.Sprint(list.prefix, i+1); id != "GP23" && id != "GP35" {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// testNames returns the names of all tests and fuzz targets of the repository,
// those behind build tags too.
func testNames(t *testing.T) (names []string) {
	t.Helper()
	out, err := exec.Command("git", "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard", "--full-name",
		"*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
	for _, file := range strings.Fields(string(out)) {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range declared.FindAllStringSubmatch(string(text), -1) {
			names = append(names, name[1])
		}
	}
	return names
}
