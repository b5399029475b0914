package main

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/yaml"

	"stayput.dev/webhook"
)

const staticCA = "static-ca.crt" // its key was never kept

// static runs webhooks --static for a directory.
func static(t *testing.T, dir string, args ...string) result {
	t.Helper()
	return stayput(t, "", append([]string{"webhooks", "--static", dir, "--url", "https://10.96.0.53", "--namespace",
		"stayput"}, args...)...)
}

// trusted returns how many certificates the guards in a directory trust.
func trusted(t *testing.T, dir string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "validating", "stayput.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config admissionv1.ValidatingWebhookConfiguration
	if err := yaml.UnmarshalStrict(data, &config); err != nil {
		t.Fatal(err)
	}
	n := -1
	for _, w := range config.Webhooks {
		cas, err := certutil.ParseCertsPEM(w.ClientConfig.CABundle)
		if err != nil || n >= 0 && n != len(cas) {
			t.Fatalf("%s: %d certificates beside %d: %v", w.Name, len(cas), n, err)
		}
		n = len(cas)
	}
	return n
}

func TestStaticGuardsGolden(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "guards")
	args := []string{"--ca-file", staticCA, "--static-mount", "/etc/kubernetes/stayput", "--kubernetes-version", "1.37"}
	r := static(t, dir, args...)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("%+v", r)
	}
	golden(t, "static.text", strings.ReplaceAll(r.stdout, dir, "DIR"))
	files := map[string]string{"static.yaml": filepath.Join(dir, "validating", "stayput.yaml"),
		"static-admission.yaml": filepath.Join(dir, "admission.yaml")}
	before := map[string]os.FileInfo{}
	for name, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, string(data))
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if before[file] = info; info.Mode().Perm() != 0o644 {
			t.Errorf("%s: mode %s", file, info.Mode())
		}
	}
	// A second run writes nothing that the API server would read again.
	if r := static(t, dir, args...); r.code != 0 || strings.Contains(r.stdout, "wrote") {
		t.Errorf("%+v", r)
	}
	for file, info := range before {
		if now, err := os.Stat(file); err != nil || !os.SameFile(info, now) || !info.ModTime().Equal(now.ModTime()) {
			t.Errorf("%s is written again: %v", file, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "validating"))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the guards: %v, %v", entries, err)
	}
}

func TestStaticGuardsOverlap(t *testing.T) {
	dir := t.TempDir()
	other := func() string {
		data, _, err := certutil.GenerateSelfSignedCertKey("10.96.0.53", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data) // without the authority that follows
		return writeFile(t, "ca.crt", string(pem.EncodeToMemory(block)))
	}
	first := other()
	if r := static(t, dir, "--ca-file", first); r.code != 0 || trusted(t, dir) != 1 {
		t.Fatalf("%+v", r)
	}
	if r := static(t, dir, "--ca-file", staticCA); r.code != 0 || trusted(t, dir) != 2 ||
		!strings.Contains(r.stdout, ", and what they trusted before until ") {
		t.Errorf("one after another: %+v", r)
	}
	if r := static(t, dir, "--ca-file", staticCA); r.code != 0 || trusted(t, dir) != 2 ||
		strings.Contains(r.stdout, "wrote") {
		t.Errorf("again: %+v", r)
	}
	if r := static(t, dir, "--ca-file", staticCA, "--drop-old-ca"); r.code != 0 || trusted(t, dir) != 1 ||
		!strings.Contains(r.stdout, "wrote") {
		t.Errorf("a leaked one: %+v", r)
	}
}

func TestStaticGuardsWarnOfTheEnd(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", staticCA))
	if err != nil {
		t.Fatal(err)
	}
	cas, err := certutil.ParseCertsPEM(data)
	if err != nil {
		t.Fatal(err)
	}
	for left, warns := range map[time.Duration]bool{webhook.StaticWarning - time.Hour: true,
		webhook.StaticWarning + time.Hour: false} {
		var out, notes strings.Builder
		s := staticGuards{dir: t.TempDir()}
		err := s.write(webhook.Deployment{URL: "https://10.96.0.53", CABundle: data}, everyRule(),
			cas[0].NotAfter.Add(-left), &out, &notes)
		if err != nil || strings.Contains(notes.String(), "--ca-file: ends in 59 days") != warns || !warns &&
			notes.Len() > 0 {
			t.Errorf("%s left: %v: %q", left, err, &notes)
		}
	}
}

// TestStaticGuardsAreNotWritten holds what would keep an API server from starting,
// or leave a guard unread, to an error, and to files that stay as they were.
func TestStaticGuardsAreNotWritten(t *testing.T) {
	const admission = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"
	for name, tc := range map[string]struct {
		file, text string // in the directory beforehand
		args       []string
		want       string
	}{
		"no CA":               {args: []string{}, want: "--ca-file: is needed"},
		"a CA that is absent": {args: []string{"--ca-file", "absent"}, want: "--ca-file: open absent"},
		"a CA that is none":   {args: []string{"--ca-file", "services.yaml"}, want: "--ca-file: decode certificates"},
		"a Service": {args: []string{"--url=", "--service", "stayput", "--ca-file", staticCA},
			want: "needs --url in place of --service"},
		"a name of cluster DNS": {args: []string{"--url", "https://stayput.stayput.svc", "--ca-file", staticCA},
			want: "does not ask the cluster's DNS for stayput.stayput.svc"},
		"a full name of cluster DNS": {args: []string{"--url", "https://stayput.stayput.svc.cluster.local:443",
			"--ca-file", staticCA}, want: "does not ask the cluster's DNS"},
		"a query": {args: []string{"--url", "https://10.96.0.53/?a=b", "--ca-file", staticCA},
			want: `--url "https://10.96.0.53/?a=b": must be https://host:port`},
		"no namespace": {args: []string{"--namespace=", "--ca-file", staticCA}, want: "--namespace: is needed"},
		"a name that is none": {args: []string{"--name", "a/b", "--ca-file", staticCA},
			want: `--name "a/b": a lowercase RFC 1123 subdomain`},
		"a path that is relative": {args: []string{"--static-mount", "guards", "--ca-file", staticCA},
			want: "--static-mount guards: must be an absolute path"},
		"permissions, too": {args: []string{"--rbac", "--ca-file", staticCA}, want: "--static and --rbac"},
		"an old version": {args: []string{"--kubernetes-version", "1.35.4", "--ca-file", staticCA},
			want: "--static: not with Kubernetes 1.35.4. Since Kubernetes 1.37 the API server reads webhook configurations"},
		"one that has it off": {args: []string{"--kubernetes-version", "1.36", "--ca-file", staticCA},
			want: "gate ManifestBasedAdmissionControlConfig: exists since 1.36, on since 1.37"},
		"a version that is none": {args: []string{"--kubernetes-version", "new", "--ca-file", staticCA},
			want: `--kubernetes-version "new": must be a version`},
		"no guard": {args: []string{"--config", writeFile(t, "config.yaml", "apiVersion: stayput.dev/v1alpha1\nkind: "+
			"Configuration\nrules: {protected: off, claim-in-use: off, volume-in-use: off, namespace-data: off}\n"),
			"--ca-file", staticCA}, want: "no rule on that guards a deletion"},
		"guards that cannot be read": {file: "validating/stayput.yaml", text: "webhooks: [", args: []string{"--ca-file",
			staticCA}, want: "validating/stayput.yaml: cannot be read for the CA"},
		"a CA in them that is none": {file: "validating/stayput.yaml", text: "webhooks: [{clientConfig: {caBundle: eA==}}]",
			args: []string{"--ca-file", staticCA}, want: "validating/stayput.yaml: the earlier bundle: decode certificates"},
		"an AdmissionConfiguration of another directory": {file: "admission.yaml", text: admission + "plugins: [{name: " +
			"ValidatingAdmissionWebhook, configuration: {staticManifestsDir: /elsewhere}}]\n", args: []string{"--ca-file",
			staticCA}, want: "admission.yaml: does not set staticManifestsDir: "},
		"one whose plugin is in another file": {file: "admission.yaml", text: admission + "plugins: [{name: " +
			"ValidatingAdmissionWebhook, path: webhooks.yaml}]\n", args: []string{"--ca-file", staticCA},
			want: "admission.yaml: does not set staticManifestsDir: "},
		"one that cannot be read": {file: "admission.yaml", text: "plugins: 1", args: []string{"--ca-file", staticCA},
			want: "admission.yaml: error unmarshaling"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if tc.file != "" {
				write(t, dir, tc.file, tc.text)
			}
			r := static(t, dir, tc.args...)
			if r.code != 2 || !strings.Contains(r.stderr, tc.want) || strings.Count(r.stderr, "\n") > 1 {
				t.Errorf("exit code %d: %s", r.code, r.stderr)
			}
			for _, file := range []string{"admission.yaml", "validating/stayput.yaml"} {
				data, err := os.ReadFile(filepath.Join(dir, file))
				if file == tc.file && string(data) != tc.text || file != tc.file && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is written: %s", file, data)
				}
			}
		})
	}
	if r := stayput(t, "", "webhooks", "--url", "https://a", "--drop-old-ca"); r.code != 2 ||
		!strings.Contains(r.stderr, "need --static") {
		t.Errorf("without --static: %+v", r)
	}
}
