package trim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ErrStalled is the error of a list that has stopped arriving.
var ErrStalled = errors.New("nothing more has come of a list")

// maxSilence is how long a list may not make progress, because the API server
// hangs or the network loses packets. A watch in HTTP/2 has pings for that.
const maxSilence = time.Minute

// silenceLimit is a transport that cancels a request after a time without any
// data: no answer, or no more of it.
type silenceLimit struct {
	next       http.RoundTripper
	maxSilence time.Duration
}

// RoundTrip implements [http.RoundTripper].
func (p silenceLimit) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, giveUp := context.WithCancelCause(r.Context())
	stalled := fmt.Errorf("%w for %s", ErrStalled, p.maxSilence)
	w := &watched{maxSilence: p.maxSilence, ctx: ctx, giveUp: giveUp}
	w.timer = time.AfterFunc(p.maxSilence, func() { giveUp(stalled) })
	resp, err := p.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		err = w.reason(err)
		w.end()
		return nil, err
	}
	w.ReadCloser, resp.Body = resp.Body, w
	return resp, nil
}

// A watched body is the body of an answer with that limit.
type watched struct {
	io.ReadCloser
	maxSilence time.Duration
	timer      *time.Timer
	ctx        context.Context
	giveUp     context.CancelCauseFunc
}

// Read implements [io.Reader].
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil {
		return n, w.reason(err)
	}
	w.timer.Reset(w.maxSilence)
	return n, nil
}

// Close implements [io.Closer].
func (w *watched) Close() error {
	w.end()
	return w.ReadCloser.Close()
}

func (w *watched) end() {
	w.timer.Stop()
	w.giveUp(nil)
}

// reason returns the cause of an error.
func (w *watched) reason(err error) error {
	if cause := context.Cause(w.ctx); errors.Is(cause, ErrStalled) && !errors.Is(err, io.EOF) {
		return cause
	}
	return err
}
