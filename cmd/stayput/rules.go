package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stayput.dev/validators"
)

func rulesCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "rules [NAME]",
		Short: "List the rules, or explain one",
		Example: `  stayput rules
  stayput rules claim-in-use
  stayput rules --format json`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
			for _, r := range validators.All {
				names = append(names, r.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format %q: must be text or json", format)
			}
			if len(args) == 0 && format == "json" {
				return printRules(cmd.OutOrStdout(), validators.All)
			}
			if len(args) == 0 {
				return listRules(cmd.OutOrStdout())
			}
			i := slices.IndexFunc(validators.All, func(r *validators.Rule) bool { return r.Name == args[0] })
			if i < 0 {
				return fmt.Errorf("no rule is called %q: stayput rules lists them", args[0])
			}
			if format == "json" {
				return printRules(cmd.OutOrStdout(), validators.All[i:i+1])
			}
			return explain(cmd.OutOrStdout(), validators.All[i])
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "text", "text or json")
	return cmd
}

// printRules prints rules as a JSON array.
func printRules(out io.Writer, rules []*validators.Rule) error {
	type rule struct {
		Name      string   `json:"name"`
		Level     string   `json:"level"`
		NeverDeny bool     `json:"neverDeny"`
		Title     string   `json:"title"`
		Doc       string   `json:"doc"`
		Reads     []string `json:"reads"`
		When      []string `json:"when"`
	}
	list := []rule{}
	for _, r := range rules {
		_, why, _ := strings.Cut(r.Doc, "\n\n")
		reads := []string{}
		for _, obj := range r.Reads {
			reads = append(reads, objectOf(obj).Kind)
		}
		list = append(list, rule{r.Name, r.Level.String(), r.NeverDeny, title(r.Doc), why, reads, occasions(r)})
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(list)
}

func listRules(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tLEVEL\tWHAT MUST HOLD")
	for _, r := range validators.All {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.Name, r.Level, title(r.Doc))
	}
	return w.Flush()
}

func explain(out io.Writer, r *validators.Rule) error {
	_, why, _ := strings.Cut(r.Doc, "\n\n")
	_, err := fmt.Fprintf(out, "%s (%s): %s\n\n%s\n\nIt looks at: %s\nTo exempt one object, and say why:\n    kubectl annotate KIND NAME exempt.stayput.dev/%s='reason'\n",
		r.Name, r.Level, title(r.Doc), why, strings.Join(occasions(r), ", "), r.Name)
	return err
}

func title(doc string) string {
	first, _, _ := strings.Cut(doc, "\n")
	return first
}

// occasions says when a rule runs, each kind once.
func occasions(r *validators.Rule) (list []string) {
	when := map[validators.Event]string{
		validators.Stored: "created and updated", validators.Created: "created",
		validators.Updated: "updated", validators.Deleted: "deleted",
	}
	for _, c := range r.Checks {
		list = append(list, c.Kind.Kind+" "+when[c.When])
	}
	return list
}
