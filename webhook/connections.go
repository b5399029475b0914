package webhook

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// headerTimeout bounds the arrival of a header that has begun.
	headerTimeout = 5 * time.Second

	// idleTimeout is longer than the API server's, so that the API server
	// closes idle connections, not this server.
	idleTimeout = 2 * time.Minute

	// maxUnused is more than the connections without a request that API servers
	// keep: 25 each. Connections above it get only headerTimeout for their
	// first header.
	maxUnused = 512

	// maxConnections is more than API servers open at their limits of requests
	// in flight. Each takes 30 KiB, and each thousand 20 MiB more when they are
	// busy.
	maxConnections = 2048

	// Connections beyond smallBufferAbove get a kernel read buffer of
	// smallBufferBytes, because the kernel's memory counts as the container's.
	smallBufferAbove = 512
	smallBufferBytes = 16 << 10
)

// evictAfter is how long a client may keep a connection waiting once
// maxConnections is reached, by what the connection waits for. A longer time
// makes more clients wait for a new connection; a shorter one closes
// connections of clients that are far away or were delayed.
var evictAfter = [...]time.Duration{
	awaitOpening: 250 * time.Millisecond,
	awaitRequest: time.Second,
	awaitNext:    10 * time.Second, // closing a connection that is just being used fails a request
}

// What the server awaits from the client of a connection.
const (
	awaitOpening int32 = iota // the end of the handshake, or the first request
	awaitRequest              // the end of a request
	awaitNext                 // another request
	awaitNone                 // the client waits for an answer
)

// A connectionLimiter is a listener that limits the cost of connections before
// they carry a request. It limits their memory: when maxConnections are open
// and another arrives, it closes those that have been waiting longest for their
// client, but never one with a client that waits for an answer. It limits their
// CPU: no more handshakes than there are processors run at a time, so that a
// request does not wait behind thousands.
type connectionLimiter struct {
	net.Listener
	max        int
	handshakes chan struct{} // holds one element for each handshake that is running
	unused     atomic.Int64  // connections that have carried no data

	mu   sync.Mutex
	open map[*connection]struct{}
}

func newConnectionLimiter(l net.Listener, max int) *connectionLimiter {
	return &connectionLimiter{Listener: l, max: max, handshakes: make(chan struct{}, runtime.GOMAXPROCS(0)),
		open: map[*connection]struct{}{}}
}

// Accept implements [net.Listener]. While the limit is reached, it waits, and
// new connections wait in the kernel's queue.
func (l *connectionLimiter) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, all: l}
	c.await(awaitOpening)
	for !l.add(c) {
		if l.evict() == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return c, nil
}

// add adds a connection, and says whether there was room.
func (l *connectionLimiter) add(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.max {
		return false
	}
	if len(l.open) >= smallBufferAbove {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(smallBufferBytes)
		}
	}
	l.open[c] = struct{}{}
	return true
}

func (l *connectionLimiter) remove(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// evict closes connections that have been waiting for longer than evictAfter,
// the longest first, and returns their number. It closes several at a time,
// because it must look at all of them.
func (l *connectionLimiter) evict() int {
	type late struct {
		c  *connection
		by time.Duration
	}
	var all []late
	l.mu.Lock()
	for c := range l.open {
		if awaited := c.awaited.Load(); awaited != awaitNone {
			if by := time.Since(processStart) - time.Duration(c.since.Load()) - evictAfter[awaited]; by > 0 {
				all = append(all, late{c, by})
			}
		}
	}
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b late) int { return cmp.Compare(b.by, a.by) })
	n := min(len(all), l.max/16+1)
	for _, late := range all[:n] {
		_ = late.c.Close()
	}
	return n
}

// connectionKey finds a request's connection in its context.
type connectionKey struct{}

// with is an [http.Server]'s ConnContext.
func (l *connectionLimiter) with(ctx context.Context, conn net.Conn) context.Context {
	if c := below(conn); c != nil {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	return ctx
}

// state is an [http.Server]'s ConnState.
func (l *connectionLimiter) state(conn net.Conn, state http.ConnState) {
	c := below(conn)
	switch {
	case c == nil:
	case state == http.StateActive: // the header has arrived
		c.await(awaitRequest)
	case state == http.StateIdle:
		c.await(awaitNext)
	}
}

// below returns the connection below TLS, or nil.
func below(conn net.Conn) *connection {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	c, _ := secure.NetConn().(*connection)
	return c
}

// received notes that a request has arrived in full: from now on its client
// waits for an answer.
func received(r *http.Request) {
	if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		c.await(awaitNone)
	}
}

// A connection is one of a connectionLimiter, below TLS.
//
// An HTTP client that waits for a new connection uses another one that becomes
// free first, and keeps the new one for later. net/http expects the first
// header of such a connection within ReadHeaderTimeout and then closes it,
// perhaps at the moment of its first use: the API server does not repeat a
// request that it has begun to send. So a connection that has carried no data
// yet has idleTimeout. It knows its stage by the deadlines that net/http sets
// when the handshake ends and the first header is awaited. Data that arrives
// together with the end of the handshake cannot be told from it: half a header
// that arrives so counts as none, which costs no more.
// which costs no more.
type connection struct {
	net.Conn
	all   *connectionLimiter
	stage atomic.Int32

	shaking atomic.Bool  // whether it holds one of the limiter's handshakes
	awaited atomic.Int32 // what is awaited from it
	since   atomic.Int64 // start of the wait, as the time since processStart
}

func (c *connection) await(what int32) {
	c.since.Store(int64(time.Since(processStart)))
	c.awaited.Store(what)
}

// The stages of a connection.
const (
	handshaking int32 = iota
	handshaken
	unused
	used
)

// processStart is about when this process started: connections store times as
// durations since then.
var processStart = time.Now()

// SetReadDeadline implements [net.Conn].
func (c *connection) SetReadDeadline(t time.Time) error {
	c.letGo()
	switch stage := c.stage.Load(); {
	case stage == handshaking && t.IsZero():
		c.await(awaitOpening)
		c.stage.Store(handshaken)
	case stage == handshaken && c.all.unused.Load() < maxUnused:
		c.all.unused.Add(1)
		c.stage.Store(unused)
		t = time.Now().Add(idleTimeout)
	case stage == handshaken:
		c.stage.Store(used)
	default:
		c.use()
	}
	return c.Conn.SetReadDeadline(t)
}

// Read implements [net.Conn].
func (c *connection) Read(p []byte) (int, error) {
	c.letGo()
	n, err := c.Conn.Read(p)
	if n > 0 && c.use() {
		_ = c.Conn.SetReadDeadline(time.Now().Add(headerTimeout))
	}
	if n > 0 && c.stage.Load() == handshaking {
		c.awaited.Store(awaitNone)
		c.all.handshakes <- struct{}{}
		c.shaking.Store(true)
	}
	return n, err
}

// Write implements [net.Conn].
func (c *connection) Write(p []byte) (int, error) {
	c.letGo()
	return c.Conn.Write(p)
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.letGo()
	c.use()
	c.all.remove(c)
	return c.Conn.Close()
}

// letGo ends the connection's turn, so that another handshake can run. It
// continues when more data arrives.
func (c *connection) letGo() {
	if c.shaking.CompareAndSwap(true, false) {
		<-c.all.handshakes
		c.awaited.Store(awaitOpening) // counted from the start, however slow the handshake is
	}
}

// use says whether the connection was unused until now.
func (c *connection) use() bool {
	if !c.stage.CompareAndSwap(unused, used) {
		return false
	}
	c.all.unused.Add(-1)
	return true
}
