package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"time"
)

// bodyTime is how long a body may take to arrive. An API server sends it in
// one go, right after the header.
const bodyTime = 5 * time.Second

// A refused is why a request is answered with an HTTP error.
type refused struct {
	code int
	why  string
}

func (r *refused) Error() string { return r.why }

func refuse(code int, format string, args ...any) error {
	return &refused{code, fmt.Sprintf(format, args...)}
}

// errShed is the answer to what there is no room for now.
var errShed = &refused{http.StatusTooManyRequests, "too much to do at a time"}

// errSlow is the answer to a body of which some is missing when its time is
// over. Its API server may have been held up, as this process may have been,
// and has time left to ask again.
var errSlow = &refused{http.StatusServiceUnavailable, "the body did not arrive in " + bodyTime.String()}

// errLarge says that a body is larger than the limit. As much of it was read
// as tells who asks.
var errLarge = errors.New("too large")

// accept says whether a request is one that may have a body worth reading.
func (x *exchange) accept() error {
	if x.r.Method != http.MethodPost {
		x.rw.Header().Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, "method %.32q: must be POST", x.r.Method)
	}
	if contentType := x.r.Header.Get("Content-Type"); !isJSON(contentType) {
		return refuse(http.StatusUnsupportedMediaType, "content type %.64q: must be application/json", contentType)
	}
	if enc := x.r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return refuse(http.StatusUnsupportedMediaType, "content encoding %.64q: must be absent", enc)
	}
	return nil
}

// isJSON says whether a content type is JSON's, with parameters or without.
func isJSON(contentType string) bool {
	const want = "application/json"
	if contentType == want {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == want
}

// read reads the body into buf, which grows as the bytes arrive: what a
// Content-Length promises takes no memory. But what is to be large, or does not
// say, takes it from the beginning from where large bodies do, and so much that
// what arrives in full can be decoded too.
func (x *exchange) read(buf *bytes.Buffer) error {
	conn := http.NewResponseController(x.rw)
	_ = conn.SetReadDeadline(time.Now().Add(bodyTime)) // a test's recorder has none
	limit := x.Limits.Bytes
	if x.r.ContentLength > limit {
		limit = 0 // some of it, to know who asks
	}
	x.lease.large = x.r.ContentLength > largeBody || x.r.ContentLength < 0
	for {
		if buf.Available() == 0 {
			grown := max(minRead, 2*buf.Cap())
			needs := int64(grown)
			if grown > largeBody {
				needs += takes(grown, 0)
			}
			if !x.lease.extend(needs) {
				return errShed
			}
			buf.Grow(grown - buf.Len())
		}
		n, err := x.r.Body.Read(buf.AvailableBuffer()[:buf.Available()])
		buf.Write(buf.AvailableBuffer()[:n])
		switch {
		case int64(buf.Len()) > limit:
			return errLarge
		case errors.Is(err, io.EOF) && buf.Len() == 0:
			return refuse(http.StatusBadRequest, "the body is empty")
		case errors.Is(err, io.EOF):
			_ = conn.SetReadDeadline(time.Time{}) // the next header has a time of its own
			received(x.r)
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errSlow
		case err != nil:
			return refuse(http.StatusBadRequest, "read the body: %v", err)
		}
	}
}

// minRead is how much room a body has to begin with. Most bodies are smaller,
// and an API server names the uid at the beginning.
const minRead = 16 << 10
