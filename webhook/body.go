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

// An httpError is the HTTP error for a request that cannot be processed.
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

// errSlowBody is the answer to a body that has not arrived in full after
// bodyTimeout. The API server may have been delayed, as may this process, and
// has time left to ask again.
var errSlowBody = &httpError{http.StatusServiceUnavailable, "the body did not arrive in " + bodyTimeout.String()}

// errBodyTooLarge says that a body is larger than the limit. Its beginning was
// read, which holds the uid.
var errBodyTooLarge = errors.New("too large")

// accept returns an error for a request that cannot have a valid body.
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

// isJSON says whether a content type is JSON, with or without parameters.
func isJSON(contentType string) bool {
	const want = "application/json"
	if contentType == want {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == want
}

// read reads the body into buf, which grows as bytes arrive: a Content-Length
// alone reserves no memory. A body that is to be large, or has no
// Content-Length, is counted in the pool for large bodies from the beginning,
// with enough memory that it can also be decoded.
func (c *call) read(buf *bytes.Buffer) error {
	conn := http.NewResponseController(c.rw)
	_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout)) // a test's recorder has no deadline
	limit := c.Limits.Bytes
	if c.r.ContentLength > limit {
		limit = 0 // only the beginning, to find the uid
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
			_ = conn.SetReadDeadline(time.Time{}) // the next header has a deadline of its own
			received(c.r)
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errSlowBody
		case err != nil:
			return newHTTPError(http.StatusBadRequest, "read the body: %v", err)
		}
	}
}

// minReadBytes is the initial size of the buffer for a body. Most bodies are
// smaller, and an API server writes the uid at the beginning.
const minReadBytes = 16 << 10
