// Command generate writes the files of the chart that follow from the rules,
// its README, and deploy/install.yaml. Run it at the top of the checkout.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"stayput.dev/e2e/versions"
	"stayput.dev/mutators"
	"stayput.dev/validators"
	"stayput.dev/webhook"
	"stayput.dev/webhook/repair"
)

const chart = "deploy/chart"

func main() {
	if err := generate(); err != nil {
		fmt.Fprintln(os.Stderr, "deploy/generate:", err)
		os.Exit(1)
	}
}

// generate writes the chart's files first: install.yaml is rendered from them.
func generate() error {
	files, err := ruleFiles()
	if err != nil {
		return err
	}
	values, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	if files["README.md"], err = readme(values); err != nil {
		return err
	}
	if files["files/versions.yaml"], err = versionsFile(); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(chart, name), data, 0o644); err != nil {
			return err
		}
	}
	manifest, err := install()
	if err != nil {
		return err
	}
	return os.WriteFile("deploy/install.yaml", manifest, 0o644)
}

const generated = "# Written by deploy/generate from the rules: make generate.\n"

// permissions are those that one setting of repair needs.
type permissions struct {
	Cluster   []rbacv1.PolicyRule `json:"cluster"`
	Namespace []rbacv1.PolicyRule `json:"namespace"`
}

// ruleFiles returns the webhooks and the permissions that the rules and
// mutators come to. The chart fills in what values decide.
func ruleFiles() (map[string][]byte, error) {
	// The namespace and the Service are the release's: the chart sets them.
	d := webhook.Deployment{Namespace: "release", Service: "release"}
	mutating, validating := d.Configurations(validators.All, mutators.All)
	rbac := map[repair.Mode]permissions{}
	for _, d.Repair = range []repair.Mode{repair.Off, repair.Report, repair.New, repair.All} {
		role, err := d.ClusterRole(validators.All, mutators.All)
		if err != nil {
			return nil, err
		}
		p := permissions{Cluster: slices.DeleteFunc(role.Rules, ofConfigurations), Namespace: []rbacv1.PolicyRule{}}
		if own := d.Role(mutators.All); own != nil {
			p.Namespace = own.Rules
		}
		rbac[d.Repair] = p
	}
	files := map[string][]byte{}
	for name, part := range map[string]any{
		"files/mutating.yaml":   mutating.Webhooks,
		"files/validating.yaml": validating.Webhooks,
		"files/rbac.yaml":       rbac,
	} {
		data, err := yaml.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		files[name] = append([]byte(generated), data...)
	}
	return files, nil
}

// versionsFile has the minors of Kubernetes on which Stayput was tested, for the
// notes.
func versionsFile() ([]byte, error) {
	known, records, err := versions.Load()
	if err != nil {
		return nil, err
	}
	data, err := yaml.Marshal(map[string][]string{"tested": versions.TestedOn(known, records)})
	return append([]byte("# Written by deploy/generate from what was tested: make generate.\n"), data...), err
}

// ofConfigurations says whether a permission is about the release's own webhook
// configurations, by a name that only the chart knows.
func ofConfigurations(r rbacv1.PolicyRule) bool {
	return slices.Contains(r.APIGroups, admissionv1.GroupName)
}
