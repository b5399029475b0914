package webhook

import (
	"net"
	"sync/atomic"
	"time"
)

// An HTTP client that has to wait for a new connection takes another one if
// that is free first, and keeps the new one for later. net/http would have the
// first header of such a connection come within ReadHeaderTimeout, and close it
// under the feet of whoever uses it just then: what the API server has begun
// to send, it does not send again.

const (
	// headerTime is how long a header may take that has begun.
	headerTime = 5 * time.Second

	// idleTime is how long a connection may be idle: longer than at the API
	// server, so that it is the one to close.
	idleTime = 2 * time.Minute

	// manyUnused connections at a time are more than API servers keep, 25 each.
	// Of those beyond, the first header is awaited for headerTime only: each
	// takes 100 KiB.
	manyUnused = 512
)

// unusedListener gives connections that have carried nothing yet the time of
// those that are idle.
type unusedListener struct {
	net.Listener
	unused atomic.Int64 // how many there are
}

// Accept implements [net.Listener].
func (l *unusedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &unusedConn{Conn: conn, all: &l.unused}, nil
}

// An unusedConn is below TLS. It knows by the deadlines that net/http sets when
// the handshake is over and the first header is awaited. What was read together
// with the end of the handshake it cannot tell from that: a header of which
// half came so counts as one that has not begun, which costs no more.
type unusedConn struct {
	net.Conn
	all   *atomic.Int64 // how many are unused
	stage atomic.Int32
}

// The stages of an unusedConn.
const (
	shaking int32 = iota // hands
	shaken
	unused
	used
)

// SetReadDeadline implements [net.Conn].
func (c *unusedConn) SetReadDeadline(t time.Time) error {
	switch stage := c.stage.Load(); {
	case stage == shaking && t.IsZero():
		c.stage.Store(shaken)
	case stage == shaken && c.all.Load() < manyUnused:
		c.all.Add(1)
		c.stage.Store(unused)
		t = time.Now().Add(idleTime)
	case stage == shaken:
		c.stage.Store(used)
	default:
		c.use()
	}
	return c.Conn.SetReadDeadline(t)
}

// Read implements [net.Conn].
func (c *unusedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.use() {
		_ = c.Conn.SetReadDeadline(time.Now().Add(headerTime))
	}
	return n, err
}

// Close implements [net.Conn].
func (c *unusedConn) Close() error {
	c.use()
	return c.Conn.Close()
}

// use says whether the connection was unused until now.
func (c *unusedConn) use() bool {
	if !c.stage.CompareAndSwap(unused, used) {
		return false
	}
	c.all.Add(-1)
	return true
}
