package trim

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// Transport returns a transport that trims the objects of watches and lists in
// protobuf, for caches whose transform is [stayput.dev/cluster/cache.Strip]:
// nothing else is taken out than what that removes. What it does not know comes
// through as it is. Of lists, it trims those alone whose request asks for it by
// [WithItems], and which go by a transport of their own; one that is malformed or
// cut off is an error, and one of which nothing comes for a minute is [ErrStalled].
func Transport(watches, lists http.RoundTripper) http.RoundTripper {
	lists = silenceLimit{lists, maxSilence}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		next := watches
		take, items := r.Context().Value(itemsKey{}).(func([]byte) error)
		if items {
			next = lists
		}
		resp, err := next.RoundTrip(r)
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "" {
			return resp, err
		}
		in := func() *bufio.Reader { return bufio.NewReaderSize(resp.Body, 64<<10) }
		switch strings.ReplaceAll(resp.Header.Get("Content-Type"), " ", "") {
		case runtime.ContentTypeProtobuf + ";stream=watch":
			resp.Body = &watchBody{Closer: resp.Body, in: in()}
		case runtime.ContentTypeProtobuf:
			if items {
				resp.Body = &listBody{Closer: resp.Body, in: in(), take: take}
				// It is shorter than the header says.
				resp.ContentLength = -1
				resp.Header.Del("Content-Length")
			}
		}
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

type itemsKey struct{}

// WithItems returns a context for the request of a list. Where the answer is
// protobuf, take is called with one item after another, trimmed, while it is read,
// and the list comes without items, so that it is never in memory as a whole. An
// item is only good during the call. The request fails with what take returns.
func WithItems(ctx context.Context, take func(item []byte) error) context.Context {
	return context.WithValue(ctx, itemsKey{}, take)
}

// cutShort is the error of what ends where it must not.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
