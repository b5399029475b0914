package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stayput.dev/internal/cli"
	"stayput.dev/report"
	"stayput.dev/validators"
)

// reportFlags are the flags that lint and audit share: for the rules, the
// cluster and the report.
type reportFlags struct {
	outputFlags
	clusterFlags
	config string
}

func (r *reportFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.config, "config", "", "configuration file")
	r.outputFlags.register(cmd.Flags())
	r.clusterFlags.register(cmd.Flags())
	r.complete(cmd)
}

// outputFlags choose the formats and files of a report.
type outputFlags struct {
	formats []string
	failOn  string
	color   string
	verbose bool
}

var formatNames = []string{"text", "json", "sarif", "junit", "github", "markdown", "html"}

func (o *outputFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&o.formats, "format", "f", nil,
		"FORMAT or FORMAT=FILE, several times: "+strings.Join(formatNames, ", ")+" (default text)")
	flags.StringVar(&o.failOn, "fail-on", "deny", "exit with 1 for findings of this level or above: deny or warn")
	flags.BoolVarP(&o.verbose, "verbose", "v", false,
		"list in text each rule that was skipped, for a kind that is not known")
	flags.StringVar(&o.color, "color", "auto", "colour text: auto, always or never")
}

func (o *outputFlags) complete(cmd *cobra.Command) {
	values := func(list ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
	}
	for flag, f := range map[string]cobra.CompletionFunc{
		"format": values(formatNames...), "fail-on": values("deny", "warn"), "color": values("auto", "always", "never"),
	} {
		_ = cmd.RegisterFlagCompletionFunc(flag, f) // fails only for a flag that does not exist
	}
}

// An output is one format, and the file it goes to, or none for standard
// output.
type output struct{ format, file string }

// outputs checks the flags.
func (o *outputFlags) outputs() ([]output, validators.Level, error) {
	outs, err := parseOutputs(o.formats, formatNames)
	if err != nil {
		return nil, 0, err
	}
	if !slices.Contains([]string{"auto", "always", "never"}, o.color) {
		return nil, 0, fmt.Errorf("--color %q: must be auto, always or never", o.color)
	}
	switch o.failOn {
	case "deny":
		return outs, validators.Deny, nil
	case "warn":
		return outs, validators.Warn, nil
	}
	return nil, 0, fmt.Errorf("--fail-on %q: must be deny or warn", o.failOn)
}

// parseOutputs returns what --format asks for, each one of names; text if it is not
// given.
func parseOutputs(formats, names []string) (outs []output, err error) {
	console := false
	if len(formats) == 0 {
		formats = []string{"text"}
	}
	for _, f := range formats {
		name, file, toFile := strings.Cut(f, "=")
		switch {
		case !slices.Contains(names, name):
			return nil, fmt.Errorf("--format %q: must be one of %s", name, strings.Join(names, ", "))
		case toFile && file == "":
			return nil, fmt.Errorf("--format %s: the name of the file is missing behind =", f)
		case !toFile && console:
			return nil, fmt.Errorf("--format %s: only one format goes to standard output; give the others a file: %s=FILE", f,
				name)
		}
		console = console || !toFile
		outs = append(outs, output{name, file})
	}
	return outs, nil
}

// write writes a report in each format, and returns the error for the exit
// code.
func (o *outputFlags) write(r *report.Report, outs []output, stdout, stderr io.Writer) error {
	err := writeOutputs(outs, stdout, stderr, r.Sentence(),
		func(format string, w io.Writer) error { return o.render(r, format, w) })
	if err != nil {
		return err
	}
	switch {
	case len(r.Errors) == 1:
		return fmt.Errorf("not all could be read: %s", r.Errors[0])
	case len(r.Errors) > 1:
		return fmt.Errorf("not all could be read: %s, and %d more", r.Errors[0], len(r.Errors)-1)
	case r.Fails():
		return cli.ErrFindings
	}
	return nil
}

// writeOutputs has everything rendered to where it goes. Where nothing goes to
// standard output, a sentence goes to the other.
func writeOutputs(outs []output, stdout, stderr io.Writer, sentence string,
	render func(format string, w io.Writer) error) error {
	console := false
	for _, out := range outs {
		if out.file == "" {
			console = true
			if err := render(out.format, stdout); err != nil {
				return err
			}
			continue
		}
		if err := out.toFile(render); err != nil {
			return fmt.Errorf("--format %s=%s: %w", out.format, out.file, err)
		}
	}
	if !console {
		fmt.Fprintln(stderr, "stayput:", sentence)
	}
	return nil
}

func (out output) toFile(render func(format string, w io.Writer) error) (err error) {
	f, err := os.Create(out.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := bufio.NewWriter(f)
	if err := render(out.format, buf); err != nil {
		return err
	}
	return buf.Flush()
}

func (o *outputFlags) render(r *report.Report, format string, w io.Writer) error {
	switch format {
	case "json":
		return r.JSON(w)
	case "sarif":
		return r.SARIF(w)
	case "junit":
		return r.JUnit(w)
	case "github":
		return r.GitHub(w)
	case "markdown":
		return r.Markdown(w)
	case "html":
		return r.HTML(w)
	}
	return r.Text(w, report.TextOptions{Coloured: o.coloured(w), Verbose: o.verbose})
}

// coloured says whether to write colours to w. NO_COLOR is a convention.
func (o *outputFlags) coloured(w io.Writer) bool {
	if o.color == "auto" {
		return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return o.color == "always"
}

// clusterFlags say which cluster, and how to read it.
type clusterFlags struct {
	kubeconfig, context string
	chunkSize           int64
}

func (c *clusterFlags) register(flags *pflag.FlagSet) {
	cli.RegisterKubeconfig(flags, &c.kubeconfig)
	flags.StringVar(&c.context, "context", "", "context of the kubeconfig")
	flags.Int64Var(&c.chunkSize, "chunk-size", 500, "how many objects to ask the cluster for at a time")
}
