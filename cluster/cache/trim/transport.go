package trim

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"stayput.dev/cluster"
)

// Transport returns a transport that trims the objects of watches and lists in
// protobuf, for caches with the transform [stayput.dev/cluster/cache.Strip]: it
// removes only fields that Strip removes, too. Unknown kinds stay as they are.
// It trims only those lists that request it by [WithItems]; they use a
// transport of their own. A list that is malformed or cut off is an error; the
// error of one that receives nothing for a minute is [ErrStalled].
func Transport(watches, lists http.RoundTripper) http.RoundTripper {
	lists = silenceLimit{lists, maxSilence}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		next := watches
		take, items := r.Context().Value(itemsKey{}).(func([]byte) error)
		if items {
			next = lists
		}
		resp, err := next.RoundTrip(withoutManagedFields(r))
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "" {
			return resp, err
		}
		in := func() *bufio.Reader { return bufio.NewReaderSize(resp.Body, 64<<10) }
		media, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if err != nil || media != runtime.ContentTypeProtobuf {
			return resp, nil
		}
		switch params["stream"] {
		case "watch":
			resp.Body = &watchBody{Closer: resp.Body, in: in()}
		case "":
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

// withoutManagedFields asks that objects be sent without their managed fields,
// if no rule reads those of their kind. An API server knows the parameter from
// 1.38 on, and takes it for one that it does not recognize before.
func withoutManagedFields(r *http.Request) *http.Request {
	kind := cluster.KnownResource(path.Base(r.URL.Path))
	accept := r.Header.Get("Accept")
	if kind == nil || kind.ManagedFields || !strings.Contains(accept, runtime.ContentTypeProtobuf) {
		return r
	}
	r = r.Clone(r.Context()) // a transport must not edit a request
	r.Header.Set("Accept", strings.ReplaceAll(accept, runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+
		";drop=metadata.managedFields"))
	return r
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

type itemsKey struct{}

// WithItems returns a context for the request of a list. If the answer is
// protobuf, take is called for each item, trimmed, while the answer is read.
// The list is returned without items, so that it is never in memory as a whole.
// An item is valid only during the call. An error of take is the request's.
func WithItems(ctx context.Context, take func(item []byte) error) context.Context {
	return context.WithValue(ctx, itemsKey{}, take)
}

// cutShort makes [io.ErrUnexpectedEOF] of an early end.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
