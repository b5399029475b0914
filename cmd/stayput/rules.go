package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stayput.dev/report"
	"stayput.dev/validators"
)

// allMessages is every message of every rule, a paragraph for each that begins
// with its name. It is generated from the testdata of the rules.
//
//go:embed messages.txt
var allMessages string

func rulesCommand() *cobra.Command {
	var format string
	var messages bool
	cmd := &cobra.Command{
		Use:   "rules [NAME]",
		Short: "List the rules, or explain one",
		Example: `  stayput rules
  stayput rules claim-in-use
  stayput rules --messages | less
  stayput rules --format json`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
			for _, r := range everyRule() {
				names = append(names, r.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format %q: must be text or json", format)
			}
			if messages && format == "json" {
				return errors.New("--messages: only as text")
			}
			if len(args) == 0 && messages {
				_, err := io.WriteString(cmd.OutOrStdout(), allMessages)
				return err
			}
			if len(args) == 0 && format == "json" {
				return printRules(cmd.OutOrStdout(), everyRule())
			}
			if len(args) == 0 {
				return listRules(cmd.OutOrStdout())
			}
			every := everyRule()
			i := slices.IndexFunc(every, func(r *validators.Rule) bool { return r.Name == args[0] })
			if w := slices.IndexFunc(withoutRule, func(r report.Rule) bool { return r.Name == args[0] }); i < 0 && w >= 0 {
				r := withoutRule[w]
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s (%s): %s\n\n%s\n", r.Name, r.Level, r.Title, r.Doc)
				return err
			}
			if i < 0 {
				return fmt.Errorf("no rule is called %q: stayput rules lists them", args[0])
			}
			if format == "json" {
				return printRules(cmd.OutOrStdout(), every[i:i+1])
			}
			if messages {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), messagesOf(args[0]))
				return err
			}
			return explain(cmd.OutOrStdout(), every[i])
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "text", "text or json")
	cmd.Flags().BoolVar(&messages, "messages", false, "print what the rules say, with the remedies in full")
	return cmd
}

// everyRule returns the rules of objects and those of manifests, sorted by name.
func everyRule() []*validators.Rule {
	return slices.SortedFunc(slices.Values(slices.Concat(validators.All, validators.OfManifests)),
		func(a, b *validators.Rule) int { return strings.Compare(a.Name, b.Name) })
}

// messagesOf returns the paragraph about a rule.
func messagesOf(rule string) string {
	for paragraph := range strings.SplitSeq(strings.TrimSpace(allMessages), "\n\n") {
		if strings.HasPrefix(paragraph, rule+" (") {
			return paragraph
		}
	}
	return "" // the test of the generated file says which is missing
}

// printRules prints rules as a JSON array.
func printRules(out io.Writer, rules []*validators.Rule) error {
	type rule struct {
		Name      string   `json:"name"`
		Level     string   `json:"level"`
		Loses     string   `json:"loses"`
		NeverDeny bool     `json:"neverDeny"`
		Title     string   `json:"title"`
		Doc       string   `json:"doc"`
		Versions  string   `json:"versions,omitempty"`
		Exempt    string   `json:"exempt"`
		Reads     []string `json:"reads"`
		When      []string `json:"when"`
	}
	list := []rule{}
	for _, r := range rules {
		_, why, _ := strings.Cut(r.Doc, "\n\n")
		reads, when := []string{}, r.Occasions()
		if when == nil {
			when = []string{}
		}
		for _, obj := range r.Reads {
			reads = append(reads, objectOf(obj).Kind)
		}
		list = append(list, rule{r.Name, r.Level.String(), r.Loses.String(), r.NeverDeny, r.Title(), why, r.VersionText(),
			r.Exempt, reads, when})
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(list)
}

func listRules(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tLEVEL\tLOSES\tWHAT MUST HOLD")
	for _, r := range everyRule() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Name, r.Level, r.Loses, r.Title())
	}
	return w.Flush()
}

// explained is how many messages explain shows.
const explained = 4

func explain(out io.Writer, r *validators.Rule) error {
	if len(r.Checks) == 0 {
		_, err := fmt.Fprintf(out, "%s (%s): %s\n\n%s\n\nWhat is lost where it does not hold: %s.\nLint alone finds it.\n\n"+
			"To exempt one object, and say why:\n    %s\nWhen it is right to exempt it: %s.\n",
			r.Name, r.Level, r.Title(), r.Explanation(), r.Loses, r.ExemptCommand(), r.Exempt)
		return err
	}
	_, said, _ := strings.Cut(messagesOf(r.Name), "\n")
	lines := strings.Split(said, "\n")
	more := ""
	if n := len(lines) / 2; n > explained { // a message and its remedy
		lines = lines[:2*explained]
		more = fmt.Sprintf("  and %d more: stayput rules %s --messages\n", n-explained, r.Name)
	}
	_, err := fmt.Fprintf(out, "%s (%s): %s\n\n%s\n\nWhat is lost where it does not hold: %s.\nIt runs when %s.\n\n"+
		"It says, for example:\n%s\n%s\nTo exempt one object, and say why:\n    %s\nWhen it is right to exempt it: %s.\n",
		r.Name, r.Level, r.Title(), r.Explanation(), r.Loses, strings.Join(r.Occasions(), "; "),
		strings.Join(lines, "\n"), more, r.ExemptCommand(), r.Exempt)
	return err
}
