package rehearsal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"stayput.dev/cluster"
)

// A Log is an audit log: the requests that change objects of some kinds, in the
// order in which they came. Its files are read anew whenever it is walked through,
// so that it takes no memory for its length.
type Log struct {
	files []*file
	kinds map[schema.GroupResource]schema.GroupVersionKind
}

// A file is as much of a file as there was when it was added: the API server
// may still write it, and rotate it.
type file struct {
	*os.File
	size  int64
	begin time.Time // of the first event that counts
}

// NewLog returns an empty log of the requests about some kinds.
func NewLog(kinds []schema.GroupVersionKind) *Log {
	l := &Log{kinds: map[schema.GroupResource]schema.GroupVersionKind{}}
	for _, kind := range kinds {
		l.kinds[cluster.Known(kind).GVR().GroupResource()] = kind
	}
	return l
}

// Add adds a file of audit.k8s.io/v1 events, compressed by gzip or not: JSON
// objects one after another, or an EventList as JSON or YAML. Files may be added in
// any order, and may overlap, as those of several API servers do.
func (l *Log) Add(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: must be a file, for it is read twice", name)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	added := &file{File: f, size: info.Size()}
	s, err := l.open(added)
	if err == nil {
		err = s.fill()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if len(s.ahead) == 0 {
		return f.Close() // nothing in it counts
	}
	added.begin = s.ahead[0].Received
	l.files = append(l.files, added)
	slices.SortStableFunc(l.files, func(a, b *file) int { return a.begin.Compare(b.begin) })
	return nil
}

// Close closes the files.
func (l *Log) Close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	l.files = nil
	return errors.Join(errs...)
}

// Each calls visit with one event after another. Only files that overlap in time
// are read at once.
func (l *Log) Each(visit func(*Event) error) error {
	var open []*stream
	for next := 0; ; {
		open = slices.DeleteFunc(open, func(s *stream) bool { return len(s.ahead) == 0 })
		var first *stream
		if len(open) > 0 {
			first = slices.MinFunc(open, func(a, b *stream) int { return a.ahead[0].Received.Compare(b.ahead[0].Received) })
		}
		switch {
		case next < len(l.files) && (first == nil || !l.files[next].begin.After(first.ahead[0].Received)):
			s, err := l.open(l.files[next])
			if err != nil {
				return err
			}
			if err := s.fill(); err != nil {
				return err
			}
			open, next = append(open, s), next+1
			continue
		case first == nil:
			return nil
		}
		e := first.ahead[0]
		first.ahead = slices.Delete(first.ahead, 0, 1)
		if err := visit(e); err != nil {
			return err
		}
		if err := first.fill(); err != nil {
			return err
		}
	}
}

// An API server writes an event when it has answered: it comes after others that
// were received later, but answered sooner. No request of those that count may take
// longer than a minute.
const (
	longestRequest = time.Minute
	mostAhead      = 1000 // events
)

// A stream is the events of a file that count, in the order in which they were
// received, as far as mostAhead of them tell.
type stream struct {
	*reader
	log    *Log
	ahead  []*Event // read already, in order
	newest time.Time
	ended  bool
}

func (l *Log) open(f *file) (*stream, error) {
	r, err := newReader(f.Name(), io.NewSectionReader(f, 0, f.size))
	return &stream{reader: r, log: l}, err
}

// fill reads until the first event ahead is the first that will come, if there is
// any.
func (s *stream) fill() error {
	for !s.ended && len(s.ahead) < mostAhead && (len(s.ahead) == 0 || s.newest.Sub(s.ahead[0].Received) < longestRequest) {
		e, err := s.next()
		if errors.Is(err, io.EOF) {
			s.ended = true
			break
		}
		if err != nil {
			return err
		}
		if !s.log.counts(e) {
			continue
		}
		at, _ := slices.BinarySearchFunc(s.ahead, e, func(known, e *Event) int {
			if known.Received.After(e.Received) {
				return 1
			}
			return -1 // behind what came at the same time
		})
		s.ahead = slices.Insert(s.ahead, at, e)
		if e.Received.After(s.newest) {
			s.newest = e.Received
		}
	}
	return nil
}
