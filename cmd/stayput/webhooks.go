//go:build !light

package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"stayput.dev/internal/config"
	"stayput.dev/webhook"
)

func webhooksCommand() *cobra.Command {
	var d webhook.Deployment
	var static staticGuards
	var caFile, configFile string
	var rbac bool
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "Print the two webhook configurations",
		Long: `Print the MutatingWebhookConfiguration and the ValidatingWebhookConfiguration
by which the API server asks Stayput about exactly what its rules want to see.

With --static DIR it writes the guards of deletions alone, for the API server to
read from files (Kubernetes 1.37 and later): nobody can remove them by the API.
Run it again for another CA: until the one before has ended, both are trusted.`,
		Example: `  stayput webhooks --url https://127.0.0.1:9443 --ca-file ca.crt | kubectl apply -f -
  stayput webhooks --service stayput --namespace stayput --ca-file ca.crt
  stayput webhooks --static /etc/kubernetes/stayput --url https://10.96.0.53 --namespace stayput --ca-file ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTarget(d); err != nil {
				return err
			}
			if err := static.check(d, caFile, rbac); err != nil {
				return err
			}
			if caFile != "" {
				ca, err := os.ReadFile(caFile)
				if err != nil {
					return fmt.Errorf("--ca-file: %w", err)
				}
				d.CABundle = ca
			}
			s, err := config.Load(configFile)
			if err != nil {
				return err
			}
			if static.dir != "" {
				return static.write(d, s.Policy.Rules, time.Now(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			mutating, validating := d.Configurations(s.Policy.Rules, s.Mutators)
			objs := []any{mutating, validating}
			if rbac {
				d.Repair = s.Repair
				role, err := d.ClusterRole(s.Policy.Rules, s.Mutators)
				if err != nil {
					return err
				}
				objs = append(objs, role)
				if own := d.Role(s.Mutators); own != nil && d.Namespace != "" {
					objs = append(objs, own)
				}
				if d.Namespace != "" {
					objs = append(objs, d.SecretRole(""))
				}
			}
			for _, obj := range objs {
				data, err := yaml.Marshal(obj)
				if err != nil {
					return fmt.Errorf("print the configurations: %w", err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "---\n%s", data)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&d.Name, "name", "stayput", "name of the two configurations")
	flags.StringVar(&d.URL, "url", "", "https://host:port where the API server finds Stayput")
	flags.StringVar(&d.Service, "service", "", "Service that leads to Stayput, instead of --url")
	flags.StringVar(&d.Namespace, "namespace", "", "namespace of the Service and of Stayput, which is never matched")
	flags.Int32Var(&d.Port, "port", 443, "port of the Service")
	flags.StringVar(&caFile, "ca-file", "", "PEM file with the authorities that the API server is to trust")
	flags.BoolVar(&rbac, "rbac", false,
		"print the ClusterRole that lookups and repair need, and the Roles in --namespace for repair and certificates, too")
	flags.StringVar(&configFile, "config", "", "configuration file: rules that are off are not asked about")
	static.register(flags)
	return cmd
}

func checkTarget(d webhook.Deployment) error {
	switch {
	case d.URL == "" && d.Service == "":
		return errors.New("--url or --service: one is needed")
	case d.URL != "" && d.Service != "":
		return errors.New("--url and --service: only one may be given")
	case d.Service != "" && d.Namespace == "":
		return errors.New("--namespace: is needed with --service")
	case d.URL != "":
		if u, err := url.Parse(d.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil ||
			u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("--url %q: must be https://host:port", d.URL)
		}
	}
	return nil
}
