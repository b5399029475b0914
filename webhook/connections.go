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
	// headerTime is how long a header may take that has begun.
	headerTime = 5 * time.Second

	// idleTime is how long a connection may be idle: longer than at the API
	// server, so that it is the one to close.
	idleTime = 2 * time.Minute

	// manyUnused connections at a time are more than API servers keep, 25 each.
	// Of those beyond, the first header is awaited for headerTime only.
	manyUnused = 512

	// mostConnections are open at a time, more than API servers open at their
	// limits of requests in flight. Each takes 30 KiB, and 20 MiB more for each
	// thousand when they are busy.
	mostConnections = 2048

	// crowded is how many connections it takes until further ones get a small
	// buffer from the kernel, whose memory counts as the container's, too.
	crowded     = 512
	smallBuffer = 16 << 10
)

// patience is how long a connection may keep a full crowd waiting. The longer it
// lasts, the more have to wait for it; the shorter, the less may a client that is
// far away, or held up, do as it should.
var patience = [...]time.Duration{
	opening: 250 * time.Millisecond,
	asking:  time.Second,
	idle:    10 * time.Second, // to close one that is just being used fails a request
}

// What is awaited from a connection.
const (
	opening int32 = iota // the end of the handshake, or its first request ever
	asking               // the end of a request
	idle                 // another request
	nothing              // it waits for us
)

// A crowd is all connections of a listener. It bounds what they cost before
// they carry a request. They take memory, so there may be so many, and if more
// come, those go that try patience most, never one that waits for us. Handshakes
// take CPU, so no more are worked at than there are processors: a request would
// have to wait for its turn behind thousands.
type crowd struct {
	net.Listener
	most   int
	hands  chan struct{} // full when as many handshakes as may be are worked at
	unused atomic.Int64  // how many connections have carried nothing

	mu   sync.Mutex
	open map[*connection]struct{}
}

func newCrowd(l net.Listener, most int) *crowd {
	return &crowd{Listener: l, most: most, hands: make(chan struct{}, runtime.GOMAXPROCS(0)), open: map[*connection]struct{}{}}
}

// Accept implements [net.Listener]. Where there is no room it waits, and who
// comes waits in the kernel's queue.
func (l *crowd) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, all: l}
	c.await(opening)
	for !l.add(c) {
		if l.evict() == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return c, nil
}

// add says whether there was room.
func (l *crowd) add(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.most {
		return false
	}
	if len(l.open) >= crowded {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(smallBuffer)
		}
	}
	l.open[c] = struct{}{}
	return true
}

func (l *crowd) remove(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// evict closes the connections that have been awaited for longer than patience,
// those first that have for longest, and says how many: some at a time, for it
// looks at all.
func (l *crowd) evict() int {
	type late struct {
		c  *connection
		by time.Duration
	}
	var all []late
	l.mu.Lock()
	for c := range l.open {
		if awaited := c.awaited.Load(); awaited != nothing {
			if by := time.Since(begun) - time.Duration(c.since.Load()) - patience[awaited]; by > 0 {
				all = append(all, late{c, by})
			}
		}
	}
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b late) int { return cmp.Compare(b.by, a.by) })
	n := min(len(all), l.most/16+1)
	for _, late := range all[:n] {
		_ = late.c.Close()
	}
	return n
}

// connectionKey finds a request's connection in its context.
type connectionKey struct{}

// with is an [http.Server]'s ConnContext.
func (l *crowd) with(ctx context.Context, conn net.Conn) context.Context {
	if c := below(conn); c != nil {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	return ctx
}

// state is an [http.Server]'s ConnState.
func (l *crowd) state(conn net.Conn, state http.ConnState) {
	c := below(conn)
	switch {
	case c == nil:
	case state == http.StateActive: // the header is there
		c.await(asking)
	case state == http.StateIdle:
		c.await(idle)
	}
}

// below returns the connection of a crowd that a server's is.
func below(conn net.Conn) *connection {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	c, _ := secure.NetConn().(*connection)
	return c
}

// received notes that a request has arrived in full: from now on its connection
// waits for us.
func received(r *http.Request) {
	if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		c.await(nothing)
	}
}

// A connection is one of a crowd, below TLS.
//
// An HTTP client that has to wait for a new connection takes another one if
// that is free first, and keeps the new one for later. net/http would have the
// first header of such a connection come within ReadHeaderTimeout, and close it
// under the feet of whoever uses it just then: what the API server has begun
// to send, it does not send again. So connections that have carried nothing
// yet get the time of those that are idle. One knows of it by the deadlines
// that net/http sets when the handshake is over and the first header is
// awaited. What was read together with the end of the handshake it cannot tell
// from that: a header of which half came so counts as one that has not begun,
// which costs no more.
type connection struct {
	net.Conn
	all   *crowd
	stage atomic.Int32

	hand    atomic.Bool  // whether it holds one of the crowd's
	awaited atomic.Int32 // what is awaited from it
	since   atomic.Int64 // since when, as the time since begun
}

func (c *connection) await(what int32) {
	c.since.Store(int64(time.Since(begun)))
	c.awaited.Store(what)
}

// The stages of a connection.
const (
	shaking int32 = iota // hands
	shaken
	unused
	used
)

// begun is when this process did, nearly.
var begun = time.Now()

// SetReadDeadline implements [net.Conn].
func (c *connection) SetReadDeadline(t time.Time) error {
	c.letGo()
	switch stage := c.stage.Load(); {
	case stage == shaking && t.IsZero():
		c.await(opening)
		c.stage.Store(shaken)
	case stage == shaken && c.all.unused.Load() < manyUnused:
		c.all.unused.Add(1)
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
func (c *connection) Read(p []byte) (int, error) {
	c.letGo()
	n, err := c.Conn.Read(p)
	if n > 0 && c.use() {
		_ = c.Conn.SetReadDeadline(time.Now().Add(headerTime))
	}
	if n > 0 && c.stage.Load() == shaking {
		c.awaited.Store(nothing)
		c.all.hands <- struct{}{}
		c.hand.Store(true)
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

// letGo gives back what working at the handshake has taken: it goes on when
// something comes.
func (c *connection) letGo() {
	if c.hand.CompareAndSwap(true, false) {
		<-c.all.hands
		c.awaited.Store(opening) // since the beginning, however slowly it goes on
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
