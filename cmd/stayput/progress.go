package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A progress shows the progress of long work on a terminal, and nothing
// elsewhere. A nil one shows nothing.
type progress struct {
	out io.Writer
	bar *progressbar.ProgressBar
}

// newProgress returns a progress for stderr, if that is a terminal.
func newProgress(stderr io.Writer) *progress {
	if !isTerminal(stderr) {
		return nil
	}
	return &progress{out: stderr}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// begin begins work of a number of steps, or of -1 if the number is not known.
// Call step after each step, and done at the end. Short work shows nothing.
func (p *progress) begin(what string, steps int) (done func()) {
	if p == nil {
		return func() {}
	}
	p.bar = progressbar.NewOptions(steps,
		progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
	return func() { _ = p.bar.Finish() }
}

func (p *progress) step() {
	if p != nil && p.bar != nil {
		_ = p.bar.Add(1)
	}
}
