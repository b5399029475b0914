//go:build !light

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"stayput.dev/certs"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/kubeconfig"
	"stayput.dev/serve"
)

func certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Look after the serving certificate",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(certsStatusCommand(), certsRotateCommand(), certsApplyCommand())
	return cmd
}

// certsFlags are what the three have in common.
type certsFlags struct {
	serve.Place
	kubeconfig string
	timeout    time.Duration
}

func (f *certsFlags) register(cmd *cobra.Command) {
	f.Register(cmd.Flags())
	cmd.Flags().StringVar(&f.Namespace, "namespace", "stayput", "namespace of the Service and of the Secret")
	cli.RegisterKubeconfig(cmd.Flags(), &f.kubeconfig)
	cmd.Flags().DurationVar(&f.timeout, "timeout", 2*time.Minute, "when to give up")
}

// connect returns the self-signed source that the flags are about, with an API
// server.
func (f *certsFlags) connect(ctx context.Context, log *slog.Logger) (context.Context, context.CancelFunc,
	*certs.SelfSigned, error) {
	config, err := kubeconfig.Connection(f.kubeconfig, "")
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := client.NewWithWatch(config, client.Options{})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("prepare to look at certificates: %w", err)
	}
	source := f.SelfSigned(&certs.Trust{Client: c, Name: f.Configurations, Log: log})
	source.Client = c
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	return ctx, cancel, source, nil
}

func certsStatusCommand() *cobra.Command {
	var f certsFlags
	var address string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the CA, what the API server trusts, and what is served",
		Long: `Show the CA in the Secret, every caBundle that is live, and, with --connect, the
certificate that a replica serves, with what is wrong: then the exit code is 1.`,
		Example: `  stayput certs status --namespace stayput
  kubectl port-forward -n stayput deployment/stayput 9443:10250 & stayput certs status --connect 127.0.0.1:9443`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, source, err := f.connect(cmd.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer cancel()
			wrong, err := certs.Overview{SelfSigned: source, Certificate: f.Certificate}.Status(ctx,
				cmd.OutOrStdout(), address)
			if err == nil && wrong {
				err = cli.ErrFindings
			}
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&address, "connect", "", "host:port of a replica, to see what it serves")
	return cmd
}

func certsRotateCommand() *cobra.Command {
	var f certsFlags
	var keep time.Duration
	var prepare bool
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "Change the key of the CA, if it has leaked, without an interruption",
		Long: `Change the key of the CA in two steps: first both keys are trusted, then, when
both webhook configurations say so, the new one signs. The old one is trusted
until no certificate of its can be in use. Where it is stopped, it can be run
again.

Static guards (stayput webhooks --static) learn of the new key from nobody: begin
with --prepare, write them again at each API server, then run it without.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case keep < 0:
				return fmt.Errorf("--keep-old %s: must not be negative", keep)
			case prepare && keep > 0:
				return errors.New("--keep-old: is for the second step, without --prepare")
			}
			ctx, cancel, source, err := f.connect(cmd.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer cancel()
			say := func(s string) { fmt.Fprintln(cmd.OutOrStdout(), s) }
			if !prepare {
				return source.RotateKey(ctx, keep, say)
			}
			if err := source.PrepareKey(ctx, say); err != nil {
				return err
			}
			say(fmt.Sprintf("the old key signs until this is run without --prepare; write static guards again before, with "+
				"ca.crt of the Secret %s/%s", f.Namespace, f.Secret))
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().DurationVar(&keep, "keep-old", 0,
		"how long to trust the old key; without it, the life of a serving certificate, a week")
	cmd.Flags().BoolVar(&prepare, "prepare", false, "stop when both keys are trusted, before the new one signs")
	return cmd
}

func certsApplyCommand() *cobra.Command {
	var f certsFlags
	var plan certs.CertManagerPlan
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Have cert-manager make the certificate",
		Long: `Apply the Issuer and the Certificate by which cert-manager makes Stayput's
certificate, and ask its cainjector to write the caBundle of the two webhook
configurations, where they exist. Serve with --certificates cert-manager and the
files of the Secret.`,
		Example: `  stayput certs apply --namespace stayput
  stayput certs apply --namespace stayput --issuer company-ca --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan.Namespace, plan.Service, plan.Name = f.Namespace, f.Service, f.Certificate
			out := cmd.OutOrStdout()
			if dryRun {
				for _, obj := range plan.Objects() {
					data, err := yaml.Marshal(obj)
					if err != nil {
						return fmt.Errorf("print %s: %w", obj.GetName(), err)
					}
					fmt.Fprintf(out, "---\n%s", data)
				}
				return nil
			}
			ctx, cancel, source, err := f.connect(cmd.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer cancel()
			return plan.Apply(ctx, source.Client, f.Configurations, func(s string) { fmt.Fprintln(out, s) })
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&plan.Issuer, "issuer", "",
		"an Issuer of the namespace to use; without it, one is made that signs with a CA of its own")
	cmd.Flags().StringSliceVar(&plan.Names, "tls-names", nil,
		"DNS names and addresses in the certificate besides those of the Service")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the objects and change nothing")
	return cmd
}
