package cache

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"stayput.dev/cluster"
)

// Servers knows the releases of the API servers behind one address. It asks for
// the version now and then, each time over a new connection, which may lead to
// another server than the one before: while a cluster is upgraded there are two
// releases, and both are seen. A question that fails changes nothing.
//
// Nothing in a cluster tells the releases of all its API servers: their identity
// leases, in kube-system, tell only which of them are alive.
type Servers struct {
	config *rest.Config
	client *http.Client
	log    *slog.Logger

	current atomic.Pointer[cluster.Versions]

	mu   sync.Mutex
	seen []sighting
	err  string // what the last question failed with
}

var _ cluster.Servers = (*Servers)(nil)

// A sighting is a release, and how many answers were of others since it was seen.
type sighting struct {
	versions cluster.Versions
	others   int
}

const (
	// forgottenAfter is the number of answers of others after which a release does
	// not count any more: of three servers that answer equally often, none is missed.
	forgottenAfter = 30
	// rereadEvery is how often the version is asked for, at least.
	rereadEvery = 40 * time.Second
	// rereadSeveral is the same while there are several releases, so that two
	// minutes after an upgrade the older one is forgotten.
	rereadSeveral = 3 * time.Second
	// rereadJitter is the part of these that is added at random.
	rereadJitter = .5
	// atFirst is how often a new process asks, a second apart, so that a cluster
	// that is being upgraded is soon known as one. A command asks as often at once.
	atFirst = 8

	versionTimeout = 5 * time.Second
	versionBytes   = 64 << 10
)

// NewServers prepares to ask the API servers at the address of config.
func NewServers(config *rest.Config, log *slog.Logger) (*Servers, error) {
	config = rest.CopyConfig(config)
	config.NextProtos, config.Timeout = []string{"http/1.1"}, versionTimeout
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return oneEach{next} })
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("prepare to ask %s for its version: %w", config.Host, err)
	}
	return &Servers{config: config, client: c, log: log}, nil
}

// oneEach ends a connection after each request.
type oneEach struct{ http.RoundTripper }

func (o oneEach) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Close = true
	return o.RoundTripper.RoundTrip(r)
}

// Versions implements [cluster.Servers].
func (s *Servers) Versions() cluster.Versions {
	if v := s.current.Load(); v != nil {
		return *v
	}
	return cluster.Versions{}
}

// Start asks again and again, until ctx ends.
func (s *Servers) Start(ctx context.Context) error {
	for asked := 1; ; asked++ {
		s.Ask(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait.Jitter(s.pause(asked), rereadJitter)):
		}
	}
}

// pause is the least time until the next question, after so many.
func (s *Servers) pause(asked int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case asked < atFirst:
		return time.Second
	case len(s.seen) > 1:
		return rereadSeveral
	}
	return rereadEvery
}

// Ask asks once. What it cannot learn it logs, once for each cause.
func (s *Servers) Ask(ctx context.Context) {
	v, err := s.Read(ctx)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if text := err.Error(); text != s.err {
			s.err = text
			s.log.Warn("the API server's version cannot be read: what was known of it stays", "error", text,
				"known", s.Versions().String())
		}
		return
	}
	s.err = ""
	for i := range s.seen {
		s.seen[i].others++
	}
	s.seen = slices.DeleteFunc(s.seen, func(o sighting) bool { return o.versions == v || o.others >= forgottenAfter })
	s.seen = append(s.seen, sighting{versions: v})
	var all cluster.Versions
	for _, o := range s.seen {
		all = all.With(o.versions)
	}
	if all != s.Versions() {
		s.log.Info("the API servers' version", "kubernetes", all.String())
		s.current.Store(&all)
	}
}

// ReadAll asks several times at once, each over a connection of its own, and
// returns all that the servers say. It fails if none answers.
func (s *Servers) ReadAll(ctx context.Context) (all cluster.Versions, err error) {
	var (
		said [atFirst]cluster.Versions
		errs [atFirst]error
		wg   sync.WaitGroup
	)
	for i := range atFirst {
		wg.Go(func() { said[i], errs[i] = s.Read(ctx) })
	}
	wg.Wait()
	for _, v := range said {
		all = all.With(v)
	}
	if !all.Known() {
		return all, cmp.Or(errs[:]...)
	}
	return all, nil
}

// Read asks once, and returns what that server says.
func (s *Servers) Read(ctx context.Context) (cluster.Versions, error) {
	base, _, err := rest.DefaultServerUrlFor(s.config)
	if err != nil {
		return cluster.Versions{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), http.NoBody)
	if err != nil {
		return cluster.Versions{}, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return cluster.Versions{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return cluster.Versions{}, fmt.Errorf("get %s: %s", req.URL, resp.Status)
	}
	var info apiversion.Info
	if err := json.NewDecoder(io.LimitReader(resp.Body, versionBytes)).Decode(&info); err != nil {
		return cluster.Versions{}, fmt.Errorf("read %s: %w", req.URL, err)
	}
	return cluster.VersionsOf(&info)
}
