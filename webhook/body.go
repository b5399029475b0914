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

// bodyTimeout bounds the arrival of a body. An API server sends it at once,
// right after the header.
const bodyTimeout = 5 * time.Second

// An httpError is what a request is answered with that cannot be worked on.
type httpError struct {
	code    int
	message string
}

func (e *httpError) Error() string { return e.message }

func newHTTPError(code int, format string, args ...any) error {
	return &httpError{code, fmt.Sprintf(format, args...)}
}

// errOverloaded is the answer while a limit is reached.
var errOverloaded = &httpError{http.StatusTooManyRequests, "too much to do at a time"}

// errSlowBody is the answer to a body of which some is missing when its time is
// over. Its API server may have been held up, as this process may have been,
// and has time left to ask again.
var errSlowBody = &httpError{http.StatusServiceUnavailable, "the body did not arrive in " + bodyTimeout.String()}

// errBodyTooLarge says that a body is larger than the limit. As much of it was read
// as tells who asks.
var errBodyTooLarge = errors.New("too large")

// accept says whether a request is one that may have a body worth reading.
func (c *call) accept() error {
	if c.r.Method != http.MethodPost {
		c.rw.Header().Set("Allow", http.MethodPost)
		return newHTTPError(http.StatusMethodNotAllowed, "method %.32q: must be POST", c.r.Method)
	}
	if contentType := c.r.Header.Get("Content-Type"); !isJSON(contentType) {
		return newHTTPError(http.StatusUnsupportedMediaType, "content type %.64q: must be application/json", contentType)
	}
	if enc := c.r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return newHTTPError(http.StatusUnsupportedMediaType, "content encoding %.64q: must be absent", enc)
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
func (c *call) read(buf *bytes.Buffer) error {
	conn := http.NewResponseController(c.rw)
	_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout)) // a test's recorder has none
	limit := c.Limits.Bytes
	if c.r.ContentLength > limit {
		limit = 0 // some of it, to know who asks
	}
	c.reservation.large = c.r.ContentLength > largeBodyBytes || c.r.ContentLength < 0
	for {
		if buf.Available() == 0 {
			grown := max(minReadBytes, 2*buf.Cap())
			needs := int64(grown)
			if grown > largeBodyBytes {
				needs += takes(grown, 0)
			}
			if !c.reservation.extend(needs) {
				return errOverloaded
			}
			buf.Grow(grown - buf.Len())
		}
		n, err := c.r.Body.Read(buf.AvailableBuffer()[:buf.Available()])
		buf.Write(buf.AvailableBuffer()[:n])
		switch {
		case int64(buf.Len()) > limit:
			return errBodyTooLarge
		case errors.Is(err, io.EOF) && buf.Len() == 0:
			return newHTTPError(http.StatusBadRequest, "the body is empty")
		case errors.Is(err, io.EOF):
			_ = conn.SetReadDeadline(time.Time{}) // the next header has a time of its own
			received(c.r)
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errSlowBody
		case err != nil:
			return newHTTPError(http.StatusBadRequest, "read the body: %v", err)
		}
	}
}

// minReadBytes is how much room a body has to begin with. Most bodies are smaller,
// and an API server names the uid at the beginning.
const minReadBytes = 16 << 10
