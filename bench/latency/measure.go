package latency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"stayput.dev/e2e/harness"
)

const apiServer = "kube-apiserver" // in pids, beside the process that is asked

// A sample holds the measurements of a case in one round.
type sample struct {
	alone, concurrent times         // one request after the other; from all connections
	rps               float64       // from all connections
	api, asked        time.Duration // CPU of a request: the API server's, and that of the process that is asked
}

type times struct{ p50, p99 time.Duration }

func timesOf(all []time.Duration) times {
	slices.Sort(all)
	return times{all[len(all)/2], all[len(all)*99/100]}
}

// measure runs all rounds, and checks afterwards that every request went through
// the right webhooks.
func (r *run) measure(ctx context.Context) error {
	fmt.Fprintf(r.Log, "Measuring %d cases in %d rounds: about %v.\n", len(r.cases), r.Rounds,
		(time.Duration(len(r.cases)*r.Rounds) * (2*r.During + r.During/10)).Round(time.Second))
	for _, c := range r.cases {
		c.sent = 0
	}
	before, err := r.asked(ctx)
	if err != nil {
		return err
	}
	looked, err := r.lookups(ctx)
	if err != nil {
		return err
	}
	order := rand.New(rand.NewPCG(1, 2))
	for round := range r.Rounds {
		fmt.Fprintf(r.Log, "round %d of %d\n", round+1, r.Rounds)
		for _, group := range r.groups() {
			if err := r.alone(ctx, group, order); err != nil {
				return err
			}
			for _, i := range order.Perm(len(group)) {
				if err := r.concurrent(ctx, group[i]); err != nil {
					return err
				}
			}
		}
	}
	if err := r.compare(ctx, before, r.cases...); err != nil {
		return err
	}
	for _, c := range r.cases {
		if err := r.refuses(ctx, c); err != nil {
			return err
		}
	}
	now, err := r.lookups(ctx)
	if err == nil && now != looked {
		err = fmt.Errorf("stayput asked the API server %v times for requests that it should answer from its caches",
			now-looked)
	}
	return err
}

// alone adds a sample to each case of a group, with one request after another, each
// time in another order.
func (r *run) alone(ctx context.Context, group []*testCase, order *rand.Rand) error {
	took := make([][]time.Duration, len(group))
	for end := time.Now().Add(r.During * time.Duration(len(group))); time.Now().Before(end); {
		for _, i := range order.Perm(len(group)) {
			t, err := r.send(ctx, group[i])
			if err != nil {
				return err
			}
			took[i] = append(took[i], t)
		}
	}
	for i, c := range group {
		c.sent += len(took[i])
		c.samples = append(c.samples, sample{alone: timesOf(took[i])})
	}
	return nil
}

// concurrent completes a case's last sample, with all connections at the same time.
func (r *run) concurrent(ctx context.Context, c *testCase) error {
	if _, err := r.load(ctx, c, r.During/10); err != nil { // warm up
		return err
	}
	api, asked, err := r.cpu(c)
	if err != nil {
		return err
	}
	start := time.Now()
	took, err := r.load(ctx, c, r.During)
	if err != nil {
		return err
	}
	lasted := time.Since(start)
	apiAfter, askedAfter, err := r.cpu(c)
	if err != nil {
		return err
	}
	s, n := &c.samples[len(c.samples)-1], time.Duration(len(took))
	s.concurrent, s.rps = timesOf(took), float64(n)/lasted.Seconds()
	s.api, s.asked = (apiAfter-api)/n, (askedAfter-asked)/n
	return nil
}

// cpu returns the CPU time that the API server, and the servers that it calls in a
// case, have used so far.
func (r *run) cpu(c *testCase) (api, asked time.Duration, err error) {
	for who, sum := range map[string]*time.Duration{apiServer: &api, c.by: &asked} {
		for _, pid := range r.pids[who] {
			used, err := harness.CPU(pid)
			if err != nil {
				return 0, 0, err
			}
			*sum += used
		}
	}
	return api, asked, nil
}

// load sends a request over all connections for a time.
func (r *run) load(ctx context.Context, c *testCase, during time.Duration) ([]time.Duration, error) {
	took, errs := make([][]time.Duration, r.Connections), make([]error, r.Connections)
	end := time.Now().Add(during)
	var group sync.WaitGroup
	for i := range r.Connections {
		group.Go(func() {
			for errs[i] == nil && time.Now().Before(end) {
				var t time.Duration
				t, errs[i] = r.send(ctx, c)
				took[i] = append(took[i], t)
			}
		})
	}
	group.Wait()
	all := slices.Concat(took...)
	c.sent += len(all)
	return all, errors.Join(errs...)
}

// send sends a request and returns its latency. It fails if the answer is not the
// one that the case expects.
func (r *run) send(ctx context.Context, c *testCase) (time.Duration, error) {
	start := time.Now()
	status, header, body, err := r.do(ctx, c.request)
	took := time.Since(start)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s, by %s: %w", c.title, c.by, err)
	case status/100 != 2:
		return 0, fmt.Errorf("%s, by %s: is answered with %d: %s", c.title, c.by, status, body)
	case len(header.Values("Warning")) > 0:
		return 0, fmt.Errorf("%s, by %s: is warned: %q", c.title, c.by, header.Values("Warning"))
	case bytes.Contains(body, []byte(`"hostname":"`)) != (c.sets != ""), !bytes.Contains(body, []byte(c.sets)):
		return 0, fmt.Errorf("%s, by %s: should have set %q: %s", c.title, c.by, c.sets, body)
	}
	return took, nil
}
