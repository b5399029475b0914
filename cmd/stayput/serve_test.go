package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stayput.dev/e2e/harness"
	"stayput.dev/internal/cli"
)

// command runs a command line and returns its exit code and what it prints.
func command(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, complaint bytes.Buffer
	err := run(t.Context(), args, strings.NewReader(stdin), &out, &complaint)
	code = cli.ExitCode(err, &complaint)
	return code, out.String(), complaint.String()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestBadInput holds every mistake to one clear line that names what is wrong.
func TestBadInput(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	head := "apiVersion: stayput.dev/v1alpha1\nkind: Configuration\n"
	config := func(text string) []string {
		return []string{"webhooks", "--url", "https://127.0.0.1:1", "--config", writeFile(t, "config.yaml", text)}
	}
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"an unknown command": {[]string{"sevre"}, []string{`"sevre"`}},
		"an unknown flag":    {[]string{"serve", "--lsiten", "x"}, []string{"--lsiten"}},
		"no certificate": {[]string{"serve", "--standalone"},
			[]string{"no certificate", "--tls-cert-file", "--ca-file"}},
		"half a certificate": {[]string{"serve", "--tls-cert-file", "x"},
			[]string{"--tls-cert-file and --tls-key-file"}},
		"a certificate that is missing": {[]string{"serve", "--tls-cert-file", "/nope/x", "--tls-key-file", "/nope/y"},
			[]string{"/nope/x"}},
		"a certificate that is none": {[]string{"serve", "--tls-cert-file", writeFile(t, "a", "x"), "--tls-key-file",
			writeFile(t, "b", "y")}, []string{"serve the certificate", "PEM"}},
		"a CA nobody can write": {[]string{"serve", "--standalone", "--ca-file", "/nope/ca"},
			[]string{"--ca-file", "/nope/ca"}},
		"a port in use": {[]string{"serve", "--standalone", "--ca-file", ca, "--listen",
			taken.Addr().String()}, []string{"--listen", "address already in use"}},
		"a health port in use": {[]string{"serve", "--standalone", "--ca-file", ca, "--listen", "127.0.0.1:0",
			"--health-listen", taken.Addr().String()}, []string{"--health-listen", "address already in use"}},
		"manifests that are missing": {[]string{"serve", "--standalone", "--ca-file", ca, "--listen", "127.0.0.1:0",
			"--manifests", "/nope"}, []string{"--manifests", "/nope"}},
		"manifests with a cluster": {[]string{"serve", "--ca-file", ca, "--manifests", "/nope"},
			[]string{"--manifests", "--standalone"}},
		"a log level that is none": {[]string{"serve", "--log-level", "loud"}, []string{"--log-level", "loud"}},
		"a kubeconfig that is missing": {[]string{"serve", "--ca-file", ca, "--listen", "127.0.0.1:0", "--kubeconfig",
			"/nope/config"}, []string{"--kubeconfig", "/nope/config"}},
		"no configuration": {[]string{"webhooks", "--url", "https://a:1", "--config", "/nope/c"},
			[]string{"--config", "/nope/c"}},
		"a configuration of no kind": {config("mode: warn\n"), []string{"apiVersion and kind", "stayput.dev/v1alpha1"}},
		"an unknown field":           {config(head + "mdoe: warn\n"), []string{"config.yaml", "line 3", "mdoe"}},
		"broken YAML":                {config(head + "mode: [\n"), []string{"config.yaml", "line"}},
		"a wrong mode":               {config(head + "mode: strict\n"), []string{"mode", `"strict"`, `"enforce"`}},
		"an unknown rule":            {config(head + "rules: {claim-in-uze: off}\n"), []string{"rules", "claim-in-uze"}},
		"a wrong level": {config(head + "rules: {claim-in-use: loud}\n"),
			[]string{"rules: claim-in-use", "loud"}},
		"a level a rule cannot have": {config(head + "rules: {service-governing: deny}\n"),
			[]string{"service-governing", "never denies"}},
		"an unknown mutator": {config(head + "mutators: {pod-name: off}\n"), []string{"mutators", "pod-name"}},
		"an exemption without a reason": {config(head + "exemptions: [{rule: claim-in-use}]\n"),
			[]string{"exemptions", "reason is mandatory"}},
		"a wrong retain":         {config(head + "retain: some\n"), []string{"retain", `"some"`}},
		"a wrong cluster domain": {config(head + "clusterDomain: a..b\n"), []string{"clusterDomain", "a..b"}},
		"a wrong caller":         {config(head + "deletions: {callers: ['[']}\n"), []string{"deletions.callers", "["}},
		"a caller of a wrong namespace": {config(head + "deletions: {callers: [{user: a, namespace: '['}]}\n"),
			[]string{"deletions.callers", "["}},
		"a caller that is nobody": {config(head + "deletions: {callers: [{kind: Pod}]}\n"),
			[]string{"deletions.callers", "user"}},
		"a caller of an unknown field": {config(head + "deletions: {callers: [a, {user: b, name: c}]}\n"),
			[]string{"config.yaml", "line 3", "name"}},
		"a caller with a field twice": {config(head + "deletions: {callers: [{user: b, user: c}]}\n"),
			[]string{"config.yaml", "line 3", "user"}},
		"webhooks of nowhere":      {[]string{"webhooks"}, []string{"--url or --service"}},
		"a URL without TLS":        {[]string{"webhooks", "--url", "http://a"}, []string{"--url", "https://"}},
		"a Service of nowhere":     {[]string{"webhooks", "--service", "a"}, []string{"--namespace"}},
		"a rule that is not there": {[]string{"rules", "nope"}, []string{`"nope"`}},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := command(t, "", tc.args...)
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			last := lines[len(lines)-1]
			for _, want := range tc.want {
				if !strings.Contains(last, want) {
					t.Errorf("%q does not say %q", last, want)
				}
			}
			for _, line := range lines[:len(lines)-1] {
				if !strings.HasPrefix(line, "{") { // but for the log
					t.Errorf("more than one line: %s", stderr)
				}
			}
		})
	}
}

// TestCertificateFlags holds every mistake about certificates to one line that
// names the flag.
func TestCertificateFlags(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	garbage := writeFile(t, "garbage", "no PEM")
	kubeconfig := []string{"--kubeconfig", writeFile(t, "kubeconfig", "apiVersion: v1\nkind: Config\n")}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"an unknown source": {[]string{"serve", "--certificates", "vault"},
			`--certificates "vault": must be self-signed, cert-manager, files or memory`},
		"a key without a certificate": {[]string{"serve", "--tls-key-file", "x"},
			"--tls-cert-file and --tls-key-file: both are needed"},
		"files without files": {[]string{"serve", "--certificates", "files"},
			"--certificates files: needs --tls-cert-file and --tls-key-file"},
		"cert-manager without files": {[]string{"serve", "--certificates", "cert-manager"},
			"--certificates cert-manager: needs --tls-cert-file and --tls-key-file"},
		"files that are not read": {[]string{"serve", "--certificates", "self-signed", "--tls-cert-file", "x",
			"--tls-key-file", "y"}, "--tls-cert-file: is not read with --certificates self-signed"},
		"a CA beside files": {[]string{"serve", "--ca-file", "z", "--tls-cert-file", "x", "--tls-key-file",
			"y"}, "--ca-file: is only written for a certificate made in memory"},
		"a CA beside self-signed": {[]string{"serve", "--certificates", "self-signed", "--ca-file", "z"},
			"--ca-file: is only written for a certificate made in memory"},
		"memory without a CA": {[]string{"serve", "--certificates", "memory"},
			"--certificates memory: needs --ca-file"},
		"self-signed and alone": {[]string{"serve", "--standalone", "--certificates", "self-signed"},
			"--certificates self-signed: needs an API server, and --standalone has none"},
		"cert-manager and alone": {[]string{"serve", "--standalone", "--certificates", "cert-manager",
			"--tls-cert-file", "x", "--tls-key-file", "y"}, "--certificates cert-manager: needs an API server"},
		"names without their CA": {[]string{"serve", "--client-names", "kube-apiserver"},
			"--client-names: needs --client-ca-file"},
		"callers' CA that is missing": {[]string{"serve", "--standalone", "--ca-file", none, "--client-ca-file", none +
			"-such"}, "--client-ca-file: open " + none + "-such"},
		"callers' CA that is none": {[]string{"serve", "--standalone", "--ca-file", none, "--client-ca-file",
			garbage}, "--client-ca-file: " + garbage},
		"no Service": {[]string{"serve", "--service", ""}, "--service: must not be empty"},
		"no Secret":  {[]string{"serve", "--secret", " "}, "--secret: must not be empty"},
		"no configurations": {[]string{"serve", "--configurations", ""},
			"--configurations: must not be empty"},
		"a negative time to keep a key": {append([]string{"certs", "rotate-key", "--keep-old", "-1s"}, kubeconfig...),
			"--keep-old -1s: must not be negative"},
		"a time to keep a key that goes on signing": {append([]string{"certs", "rotate-key", "--prepare", "--keep-old", "1h"},
			kubeconfig...), "--keep-old: is for the second step, without --prepare"},
		"a time that is none": {append([]string{"certs", "status", "--timeout", "soon"}, kubeconfig...),
			`"soon" for "--timeout"`},
		"status of no cluster":              {[]string{"certs", "status", "--kubeconfig", none}, "--kubeconfig: "},
		"an application to no cluster":      {[]string{"certs", "apply", "--kubeconfig", none}, "--kubeconfig: "},
		"an argument that nobody asked for": {[]string{"certs", "status", "everything"}, `unknown command "everything"`},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := command(t, "", tc.args...)
			if code != 2 || stdout != "" || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, stdout %q, want one line with %q:\n%s", code, stdout, tc.want, stderr)
			}
		})
	}
}

// TestStandalone asks a server that has no API server.
func TestStandalone(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.crt")
	var addresses [3]string
	if err := harness.FreeAddresses(&addresses[0], &addresses[1], &addresses[2]); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{
			"serve", "--standalone", "--manifests", "../../examples/notes/as-written/volumes-5-headless-service.yaml",
			"--ca-file", ca,
			"--listen", addresses[0], "--health-listen", addresses[1], "--metrics-listen", addresses[2], "--drain", "10ms",
		}, nil, io.Discard, io.Discard)
	}()
	get := func(url string) (int, string) {
		resp, err := http.Get(url)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for i := 0; ; i++ {
		if code, body := get("http://" + addresses[1] + "/readyz"); code == http.StatusOK {
			break
		} else if i == 100 {
			t.Fatalf("not ready: %d %s", code, body)
		}
		time.Sleep(50 * time.Millisecond)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	resp, err := client.Post("https://"+addresses[0]+"/mutate", "application/json",
		strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",
		"request":{"uid":"1","kind":{"group":"apps","version":"v1","kind":"StatefulSet"},"operation":"CREATE",
			"namespace":"default","object":
		{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"mysql"},
			"spec":{"template":{"metadata":{"labels":{"app":"mysql"}}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.Contains(string(body), `"patchType":"JSONPatch"`) ||
		!strings.Contains(string(body), "mysql-h") {
		t.Errorf("the Service of the manifests was not found: %v %s", err, body)
	}
	if _, metrics := get("http://" + addresses[2] + "/metrics"); !strings.Contains(metrics,
		`stayput_requests_total{operation="CREATE",resource="other",verdict="mutated",webhook="mutating"}`) {
		t.Errorf("metrics: %s", metrics)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
