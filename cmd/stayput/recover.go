//go:build !light

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/kubeconfig"
	"stayput.dev/recovery"
)

type recoverFlags struct {
	kubeconfig, statefulSet, volume, from string
	list, yes                             bool
	wait                                  time.Duration
}

func recoverCommand() *cobra.Command {
	var f recoverFlags
	cmd := &cobra.Command{
		Use:   "recover [NAMESPACE/CLAIM]",
		Short: "Give retained volumes back to claims of the names that they had",
		Long: `List the volumes whose claims are gone, or give one back: a claim of the name
that it had is made and bound to it, with the data that it holds.

Without --yes nothing is changed: the plan is printed, and the kubectl commands
that do the same. Whatever could bind the wrong data is refused.

With --from nothing is asked of a cluster: what kubectl get pv,pvc -o yaml saved is
printed in the form in which another cluster can have it, with the data. Applied as
it was saved, each volume would be Released, and with the policy Delete destroyed.`,
		Example: `  stayput recover
  stayput recover prod/data-mysql-0
  stayput recover --statefulset prod/mysql --yes
  stayput recover --from saved.yaml > restored.yaml && kubectl create -f restored.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("from") {
				return f.restore(cmd, args)
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), args)
		},
	}
	flags := cmd.Flags()
	cli.RegisterKubeconfig(flags, &f.kubeconfig)
	flags.StringVar(&f.statefulSet, "statefulset", "", "NAMESPACE/NAME: all claims that a StatefulSet had")
	flags.StringVar(&f.volume, "volume", "", "which volume, where a claim had several")
	flags.BoolVar(&f.list, "list", false, "list, and say for each namespace how many volumes there are, and how large")
	flags.StringVar(&f.from, "from", "", "FILE, or - for standard input: saved volumes and claims, to be printed for "+
		"another cluster")
	flags.BoolVar(&f.yes, "yes", false, "do it")
	flags.DurationVar(&f.wait, "wait", time.Minute, "how long binding a claim may take")
	return cmd
}

// restore prints saved volumes and claims for another cluster.
func (f *recoverFlags) restore(cmd *cobra.Command, args []string) error {
	others := args
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if flag.Name != "from" {
			others = append(others, "--"+flag.Name)
		}
	})
	if len(others) > 0 {
		return fmt.Errorf("--from: asks no cluster, and does not go with %s", strings.Join(others, " "))
	}
	var data []byte
	var err error
	name := f.from
	if name == "-" {
		name = standardInput
		data, err = io.ReadAll(cmd.InOrStdin())
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	saved, err := recovery.ReadSaved(name, data)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	return saved.Write(cmd.OutOrStdout())
}

func (f *recoverFlags) run(ctx context.Context, out io.Writer, args []string) error {
	target := strings.Join(args, "")
	switch {
	case target != "" && f.statefulSet != "":
		return errors.New("NAMESPACE/CLAIM and --statefulset: only one may be given")
	case f.list && (target != "" || f.statefulSet != ""):
		return errors.New("--list: lists all there is, without NAMESPACE/CLAIM and --statefulset")
	case f.volume != "" && target == "":
		return errors.New("--volume: needs NAMESPACE/CLAIM")
	case f.yes && target == "" && f.statefulSet == "":
		return errors.New("--yes: needs NAMESPACE/CLAIM or --statefulset")
	case f.wait <= 0:
		return fmt.Errorf("--wait %s: must be positive", f.wait)
	}
	config, err := kubeconfig.Connection(f.kubeconfig, "")
	if err != nil {
		return err
	}
	config.WarningHandler = rest.NoWarnings{}
	c, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	if err != nil {
		return fmt.Errorf("reach %s: %w", config.Host, err)
	}
	r := &recovery.Recovery{Client: c, Wait: f.wait, Kubernetes: versions(ctx, config)}
	var plans []*recovery.Plan
	switch {
	case f.statefulSet != "":
		namespace, name, err := cutName("--statefulset", f.statefulSet)
		if err != nil {
			return err
		}
		if plans, err = r.PlanStatefulSet(ctx, namespace, name); err != nil {
			return err
		}
	case target != "":
		namespace, name, err := cutName("NAMESPACE/CLAIM", target)
		if err != nil {
			return err
		}
		p, err := r.PlanClaim(ctx, namespace, name, f.volume)
		if err != nil {
			return err
		}
		plans = append(plans, p)
	default:
		volumes, err := r.List(ctx)
		if err != nil {
			return err
		}
		return printVolumes(out, volumes, f.list)
	}
	return f.carryOut(ctx, out, r, plans)
}

// versions returns the releases of the API servers, or none if they do not tell.
func versions(ctx context.Context, config *rest.Config) cluster.Versions {
	servers, err := cache.NewServers(config, slog.New(slog.DiscardHandler))
	if err != nil {
		return cluster.Versions{}
	}
	v, _ := servers.ReadAll(ctx) // or none
	return v
}

func cutName(what, s string) (namespace, name string, err error) {
	namespace, name, ok := strings.Cut(s, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return "", "", fmt.Errorf("%s %q: must be NAMESPACE/NAME", what, s)
	}
	return namespace, name, nil
}

func (f *recoverFlags) carryOut(ctx context.Context, out io.Writer, r *recovery.Recovery,
	plans []*recovery.Plan) error {
	left := 0
	for _, p := range plans {
		claim := p.Claim.Namespace + "/" + p.Claim.Name
		if p.Done {
			unused := ""
			if p.Unused != "" {
				unused = "; " + p.Unused
			}
			fmt.Fprintf(out, "claim %s has its volume %s: nothing to do%s\n", claim, p.Volume.Name, unused)
			continue
		}
		left++
		if f.yes {
			if err := r.Do(ctx, p); err != nil {
				return err
			}
			fmt.Fprintf(out, "claim %s is bound to volume %s\n", claim, p.Volume.Name)
			continue
		}
		commands, err := p.Commands()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "# claim %s gets volume %s back (%s)\n%s\n", claim, p.Volume.Name, p.Volume.Spec.Capacity.Storage(),
			commands)
	}
	switch {
	case left > 0 && !f.yes:
		fmt.Fprintln(out, "# nothing was changed; --yes does the same, waits, and undoes what cannot be finished")
	case left > 0 && plans[0].Volume.StatefulSet != "":
		fmt.Fprintf(out, "next: apply StatefulSet %s/%s, or scale it up again; its Pods mount these claims\n",
			plans[0].Claim.Namespace, plans[0].Volume.StatefulSet)
	case left > 0:
		fmt.Fprintln(out, "next: start what mounts the claim")
	}
	return nil
}

// printVolumes prints a table of volumes, and how many and how large they are.
func printVolumes(out io.Writer, volumes []recovery.Volume, byNamespace bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(volumes) > 0 {
		fmt.Fprintln(w, "NAMESPACE\tCLAIM\tSTATEFULSET\tORDINAL\tSIZE\tRELEASED\tPOLICY\tVOLUME\tCLAIM NOW")
	}
	count, size, total := map[string]int{}, map[string]*resource.Quantity{}, new(resource.Quantity)
	for _, v := range volumes {
		sts, ordinal, released := "-", "-", "-"
		if v.StatefulSet != "" {
			sts = v.StatefulSet
		}
		if v.Template != "" {
			ordinal = fmt.Sprint(v.Ordinal)
		}
		if t := v.Released(); !t.IsZero() {
			released = t.Format(time.RFC3339)
		}
		capacity := v.Spec.Capacity.Storage()
		now := "-"
		if v.Now != nil {
			now = cmp.Or(v.Now.Spec.VolumeName, string(v.Now.Status.Phase))
		}
		if v.Unused != "" {
			now += ", " + v.Unused
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Namespace, v.Claim, sts, ordinal, capacity, released,
			v.Spec.PersistentVolumeReclaimPolicy, v.Name, now)
		count[v.Namespace]++
		if size[v.Namespace] == nil {
			size[v.Namespace] = new(resource.Quantity)
		}
		size[v.Namespace].Add(*capacity)
		total.Add(*capacity)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if byNamespace {
		for _, ns := range slices.Sorted(maps.Keys(count)) {
			fmt.Fprintf(out, "%s: %s, %s\n", ns, plural(count[ns]), size[ns])
		}
	}
	fmt.Fprintf(out, "%s without a claim, %s in all\n", plural(len(volumes)), total)
	return nil
}

func plural(n int) string {
	if n == 1 {
		return "1 volume"
	}
	return fmt.Sprintf("%d volumes", n)
}
