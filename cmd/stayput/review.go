//go:build !light

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/config"
	"stayput.dev/webhook"
)

func reviewCommand() *cobra.Command {
	var d debugger
	cmd := &cobra.Command{
		Use:   "review FILE",
		Short: "Answer one AdmissionReview, for debugging",
		Long: `Answer one AdmissionReview, in a file or, for -, on standard input, as the webhook
would: the same handler, with the same limits. Lookups are answered from
--manifests, or with --live from a cluster; otherwise nothing exists.

Exit code 0: allowed. 1: denied. 2: there is no answer.`,
		Example: `  stayput review review.json
  stayput review --webhook mutating --manifests deploy/ - < review.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.run(cmd.Context(), args[0], cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&d.config, "config", "", "configuration file")
	flags.StringVar(&d.webhook, "webhook", "validating", "which webhook to ask: validating or mutating")
	flags.StringVar(&d.door, "door", "", "")
	_ = flags.MarkHidden("door") // until the version after v0.1.0
	flags.StringVar(&d.manifests, "manifests", "", "file or directory of manifests that is the cluster")
	flags.BoolVar(&d.live, "live", false, "look things up in the cluster of the kubeconfig")
	d.clusterFlags.register(flags)
	return cmd
}

// A debugger is the command review.
type debugger struct {
	clusterFlags
	config, manifests string
	webhook, door     string // door is what webhook was called before v0.1.0
	live              bool
}

// path returns where the webhook answers.
func (d *debugger) path() (string, error) {
	switch {
	case d.door == "mutate":
		return webhook.MutatePath, nil
	case d.door == "validate":
		return webhook.ValidatePath, nil
	case d.door != "":
		return "", fmt.Errorf("--door %q: must be validate or mutate; it is called --webhook now", d.door)
	case d.webhook == "mutating":
		return webhook.MutatePath, nil
	case d.webhook == "validating":
		return webhook.ValidatePath, nil
	}
	return "", fmt.Errorf("--webhook %q: must be validating or mutating", d.webhook)
}

func (d *debugger) run(ctx context.Context, file string, stdin io.Reader, stdout io.Writer) error {
	path, err := d.path()
	if err != nil {
		return err
	}
	s, err := config.Load(d.config)
	if err != nil {
		return err
	}
	body, err := readAll(file, stdin)
	if err != nil {
		return err
	}
	environment := s.Environment
	if environment.Source, err = d.source(); err != nil {
		return err
	}
	w := &webhook.Webhook{
		Environment: environment, Policy: s.Policy, Mutators: s.Mutators, Limits: webhook.DefaultLimits(),
		Metrics: webhook.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	answer := &recorder{header: http.Header{}, code: http.StatusOK}
	w.Handler().ServeHTTP(answer, req)
	return answer.print(stdout)
}

func readAll(file string, stdin io.Reader) ([]byte, error) {
	if file != "-" {
		return os.ReadFile(file)
	}
	data, err := io.ReadAll(stdin)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return data, nil
}

// source is what lookups are answered from.
func (d *debugger) source() (cluster.Reader, error) {
	if d.live && d.manifests != "" {
		return nil, errors.New("--live and --manifests: only one of them can be the cluster")
	}
	if d.live {
		config, err := d.restConfig()
		if err != nil {
			return nil, err
		}
		live, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
		return cache.Reader(live), err
	}
	return snapshotOf(d.manifests)
}

// A recorder keeps an HTTP answer.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// print prints the answer with what is in its patch, and says how the process
// is to end.
func (r *recorder) print(out io.Writer) error {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, r.body.Bytes(), "", "  "); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if r.code != http.StatusOK {
		return fmt.Errorf("HTTP status %d: %s", r.code, r.message())
	}
	fmt.Fprintln(out, pretty.String())
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(r.body.Bytes(), &review); err != nil || review.Response == nil {
		return errors.New("read the answer: it holds no response")
	}
	if !review.Response.Allowed {
		return cli.ErrFindings
	}
	return nil
}

func (r *recorder) message() string {
	var status struct{ Message string }
	if err := json.Unmarshal(r.body.Bytes(), &status); err != nil {
		return r.body.String()
	}
	return status.Message
}
