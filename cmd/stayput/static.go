//go:build !light

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"stayput.dev/certs"
	"stayput.dev/cluster"
	"stayput.dev/validators"
	"stayput.dev/webhook"
)

// staticGuards are the flags of webhooks --static.
type staticGuards struct {
	dir        string // where the files are written
	mount      string // where the API server finds dir
	kubernetes string
	dropOld    bool
}

func (s *staticGuards) register(flags *pflag.FlagSet) {
	flags.StringVar(&s.dir, "static", "",
		"directory to write the guards of deletions to, with the AdmissionConfiguration by which the API server reads them")
	flags.StringVar(&s.mount, "static-mount", "", "with --static: the path of DIR for the API server; without it, DIR")
	flags.BoolVar(&s.dropOld, "drop-old-ca", false,
		"with --static: trust no longer what DIR trusts and --ca-file does not hold, as when its key has leaked")
	flags.StringVar(&s.kubernetes, "kubernetes-version", "", "with --static: the oldest version of the API servers")
}

// check reports what no API server would accept, before anything is written: one
// that cannot read a file at its start does not start.
func (s *staticGuards) check(d webhook.Deployment, caFile string, rbac bool) error {
	if s.dir == "" {
		if s.mount != "" || s.dropOld || s.kubernetes != "" {
			return errors.New("--static-mount, --drop-old-ca and --kubernetes-version: need --static")
		}
		return nil
	}
	if s.kubernetes != "" {
		versions, err := cluster.ParseVersions(s.kubernetes)
		if err != nil {
			return fmt.Errorf("--kubernetes-version %w", err)
		}
		if f := webhook.StaticManifests; !f.In(versions).Likely() {
			return fmt.Errorf("--static: not with Kubernetes %s. %s", s.kubernetes, f)
		}
	}
	u, err := url.Parse(d.URL)
	switch {
	case rbac:
		return errors.New("--static and --rbac: only one of them can be given")
	case d.Service != "":
		return errors.New("--static: needs --url in place of --service: such files cannot name a Service; give its " +
			"ClusterIP, as https://10.96.0.53")
	case err != nil:
		return fmt.Errorf("--url: %w", err)
	case strings.HasSuffix(u.Hostname(), ".svc") || strings.Contains(u.Hostname(), ".svc."):
		return fmt.Errorf("--url %s: the API server does not ask the cluster's DNS for %s; give the ClusterIP of the "+
			"Service, as https://10.96.0.53", d.URL, u.Hostname())
	case d.Namespace == "":
		return errors.New("--namespace: is needed with --static: Stayput's own namespace is not guarded")
	case caFile == "":
		return errors.New("--ca-file: is needed with --static")
	}
	if wrong := validation.IsDNS1123Subdomain(s.name(d)); len(wrong) > 0 {
		return fmt.Errorf("--name %q: %s", d.Name, strings.Join(wrong, "; "))
	}
	if s.mount != "" && !filepath.IsAbs(s.mount) {
		return fmt.Errorf("--static-mount %s: must be an absolute path", s.mount)
	}
	return nil
}

// name returns the name of the file without .yaml, and of the configuration
// without its suffix.
func (s *staticGuards) name(d webhook.Deployment) string {
	return cmp.Or(strings.TrimSuffix(d.Name, webhook.StaticSuffix), "stayput")
}

// write writes the guards and the AdmissionConfiguration, each whole or not at
// all, and leaves what is right already.
func (s *staticGuards) write(d webhook.Deployment, rules []*validators.Rule, now time.Time,
	out, notes io.Writer) error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return fmt.Errorf("--static: %w", err)
	}
	guards := filepath.Join(dir, "validating", s.name(d)+".yaml")
	earlier, before, err := s.earlier(guards)
	if err != nil {
		return err
	}
	bundle, until, kept, err := certs.Overlap(d.CABundle, earlier, now)
	switch {
	case errors.Is(err, certs.ErrEarlier):
		return fmt.Errorf("--static: %s: %w; move it away, or give --drop-old-ca", guards, err)
	case err != nil:
		return fmt.Errorf("--ca-file: %w", err)
	}
	d.Name, d.CABundle = s.name(d), bundle
	config := d.StaticGuards(rules, until)
	if len(config.Webhooks) == 0 {
		return errors.New("--static: the configuration has no rule on that guards a deletion")
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("--static: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(guards), 0o755); err != nil {
		return fmt.Errorf("--static: %w", err)
	}
	admission, started := filepath.Join(dir, "admission.yaml"), cmp.Or(s.mount, dir)
	// First, so that nothing is written beside one that reads another directory.
	if err := s.admit(admission, filepath.Join(started, "validating"), out); err != nil {
		return err
	}
	var names []string
	for _, w := range config.Webhooks {
		names = append(names, w.Name)
	}
	if err := replaceWith(guards, before, data, strings.Join(names, ", "), out); err != nil {
		return err
	}
	fmt.Fprintf(out, "kube-apiserver reads them with --admission-control-config-file=%s\n",
		filepath.Join(started, "admission.yaml"))
	fmt.Fprintf(out, "they trust %s's certificates until %s", d.URL, until.UTC().Format(time.RFC3339))
	if !kept.IsZero() {
		fmt.Fprintf(out, ", and what they trusted before until %s", kept.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(out)
	if until.Sub(now) < webhook.StaticWarning {
		fmt.Fprintf(notes, "stayput: --ca-file: ends in %d days: renew the CA and run this again before, or the API server "+
			"refuses every deletion that is guarded\n", int(until.Sub(now).Hours()/24))
	}
	return nil
}

// earlier returns what a file of guards trusts, and its text, nil without one.
func (s *staticGuards) earlier(file string) (bundle, text []byte, err error) {
	text, err = os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("--static: %w", err)
	case s.dropOld:
		return nil, text, nil
	}
	var config admissionv1.ValidatingWebhookConfiguration
	if err := yaml.UnmarshalStrict(text, &config); err != nil {
		return nil, nil, fmt.Errorf("--static: %s: cannot be read for the CA that it trusts: %w; move it away, or give "+
			"--drop-old-ca", file, err)
	}
	for _, w := range config.Webhooks {
		if !bytes.Contains(bundle, w.ClientConfig.CABundle) {
			bundle = append(bundle, w.ClientConfig.CABundle...)
		}
	}
	return bundle, text, nil
}

// An admissionConfiguration is what is read and written of one.
type admissionConfiguration struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Plugins    []admissionPlugin `json:"plugins"`
}

type admissionPlugin struct {
	Name          string                         `json:"name"`
	Configuration *webhookAdmissionConfiguration `json:"configuration,omitempty"`
}

type webhookAdmissionConfiguration struct {
	APIVersion         string `json:"apiVersion"`
	Kind               string `json:"kind"`
	StaticManifestsDir string `json:"staticManifestsDir"`
}

const validatingPlugin = "ValidatingAdmissionWebhook"

// admit writes the AdmissionConfiguration by which the API server reads a
// directory. One that exists is the operator's: it must name the directory.
func (s *staticGuards) admit(file, manifests string, out io.Writer) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		data, err := yaml.Marshal(admissionConfiguration{
			APIVersion: "apiserver.config.k8s.io/v1", Kind: "AdmissionConfiguration",
			Plugins: []admissionPlugin{{validatingPlugin, &webhookAdmissionConfiguration{
				APIVersion: "apiserver.config.k8s.io/v1", Kind: "WebhookAdmissionConfiguration", StaticManifestsDir: manifests,
			}}},
		})
		if err != nil {
			return fmt.Errorf("--static: %w", err)
		}
		return replaceWith(file, nil, data, "staticManifestsDir "+manifests, out)
	}
	if err != nil {
		return fmt.Errorf("--static: %w", err)
	}
	var config admissionConfiguration
	if err := yaml.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("--static: %s: %w", file, err)
	}
	if !slices.ContainsFunc(config.Plugins, func(p admissionPlugin) bool {
		return p.Name == validatingPlugin && p.Configuration != nil &&
			filepath.Clean(p.Configuration.StaticManifestsDir) == filepath.Clean(manifests)
	}) {
		return fmt.Errorf("--static: %s: does not set staticManifestsDir: %s for %s: write it there, or move the file away",
			file, manifests, validatingPlugin)
	}
	return nil
}

// replaceWith writes a file at once, unless it holds the data already.
func replaceWith(file string, before, data []byte, what string, out io.Writer) error {
	if bytes.Equal(before, data) {
		fmt.Fprintf(out, "%s is as it must be: %s\n", file, what)
		return nil
	}
	temporary, err := writeBeside(file, data, 0o644)
	if err == nil {
		err = os.Rename(temporary, file)
	}
	if err != nil {
		if temporary != "" {
			err = errors.Join(err, os.Remove(temporary))
		}
		return fmt.Errorf("--static: %w", err)
	}
	fmt.Fprintf(out, "wrote %s: %s\n", file, what)
	return nil
}
