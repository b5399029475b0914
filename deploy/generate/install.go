package main

import (
	"bytes"
	"fmt"
	"os/exec"
)

const installHead = `# Written by deploy/generate from deploy/chart: make generate.
# kubectl apply --server-side -f deploy/install.yaml
`

// install renders the chart with its defaults, for kubectl and kustomize.
func install() ([]byte, error) {
	cmd := exec.Command("go", "tool", "-modfile=tools/helm/go.mod", "helm", "template", "stayput", chart,
		"--namespace", "stayput", "--skip-tests", "--set", "createNamespace=true")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("helm template: %w\n%s", err, stderr.Bytes())
	}
	// What one tool marks its objects with is no mark of the other's.
	out = bytes.ReplaceAll(out, []byte("app.kubernetes.io/managed-by: Helm"),
		[]byte("app.kubernetes.io/managed-by: kubectl"))
	return append([]byte(installHead), out...), nil
}
