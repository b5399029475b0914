package localcluster

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// progressEvery is the interval at which a long build reports its progress.
const progressEvery = 15 * time.Second

func (b *builder) say(format string, args ...any) {
	fmt.Fprintf(b.log, "localcluster: "+format+"\n", args...)
}

func (b *builder) announce(missing []program) {
	b.say("building %s from Go modules, kept in %s", names(missing), b.cache)
	b.say("where nothing is downloaded or compiled yet, this takes ten to twenty minutes on two cores")
}

// reportProgress writes at intervals which programs of ps are not yet in dir, until
// the function that it returns is called.
func (b *builder) reportProgress(ps []program, dir string) (stop func()) {
	start, quit, stopped := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				b.say("%s ... %s", names(unfinished(ps, dir)), time.Since(start).Round(time.Second))
			}
		}
	}()
	return func() {
		close(quit)
		<-stopped
	}
}

func unfinished(ps []program, dir string) (left []program) {
	for _, p := range ps {
		if !isExecutable(filepath.Join(dir, p.built())) {
			left = append(left, p)
		}
	}
	return left
}

// lastLines returns the end of a program's output, for an error.
func lastLines(output []byte, n int) string {
	lines := strings.Split(string(bytes.TrimSpace(output)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
