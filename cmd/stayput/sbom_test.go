package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"stayput.dev/internal/whole"
)

// TestBillOfMaterials expects the bill of materials of the program to name the
// modules that are in it, as vulnerability databases know them.
func TestBillOfMaterials(t *testing.T) {
	whole.Only(t, "the modules of tools/sbom")
	bom, err := exec.CommandContext(t.Context(), "go", "run", "-C", "../../tools/sbom", ".", program+"-cluster").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		BOMFormat  string `json:"bomFormat"`
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(bom, &got); err != nil || got.BOMFormat != "CycloneDX" {
		t.Fatalf("no bill of materials: %v\n%.300s", err, bom)
	}
	known := map[string]bool{}
	for _, c := range got.Components {
		known[c.Name] = c.Version != "" && strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@")
	}
	for _, name := range []string{"std", "k8s.io/api", "k8s.io/client-go", "sigs.k8s.io/controller-runtime",
		"github.com/spf13/cobra"} {
		if !known[name] {
			t.Errorf("%s is not in the bill of materials, or has no version", name)
		}
	}
}
