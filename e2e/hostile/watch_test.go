package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A watch looks twice a second at what a server has its kernel keep for it: the
// bytes that it has not read yet, which count as the container's memory, too.
type watch struct {
	s                 *server
	stop              chan struct{}
	group             sync.WaitGroup
	err               error
	unread, connected int64 // the most of each at a time: bytes, connections
}

func (s *server) keepWatch() *watch {
	w := &watch{s: s, stop: make(chan struct{})}
	w.group.Go(func() {
		for tick := time.NewTicker(500 * time.Millisecond); ; {
			select {
			case <-w.stop:
				tick.Stop()
				return
			case <-tick.C:
			}
			var unread int64
			if unread, w.err = s.unread(); w.err != nil {
				return
			}
			files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pid))
			if w.err = err; err != nil {
				return
			}
			w.unread, w.connected = max(w.unread, unread), max(w.connected, int64(len(files)))
		}
	})
	return w
}

// report logs what was seen, and fails where it is more than the container has.
func (w *watch) report(t *testing.T, idle int64) {
	t.Helper()
	close(w.stop)
	w.group.Wait()
	if w.err != nil {
		t.Fatal(w.err)
	}
	most := w.s.memory(t, "VmHWM")
	t.Logf("the server: %d files open at most; %d MiB idle, %d MiB at most, and %d MiB unread in the kernel, of %d MiB",
		w.connected, idle>>20, most>>20, w.unread>>20, containerMemory>>20)
	if most+w.unread > containerMemory {
		t.Errorf("%d MiB are more than the container has", (most+w.unread)>>20)
	}
}

// unread returns how many bytes wait in the kernel to be read from the
// connections of the server, accepted or not. It needs Linux.
func (s *server) unread() (bytesUnread int64, err error) {
	_, port, err := net.SplitHostPort(s.webhook)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0, err
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	local := fmt.Sprintf(":%04X", n)
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		// sl local_address rem_address st tx_queue:rx_queue ...
		fields := strings.Fields(lines.Text())
		// listening: its queue counts connections
		if len(fields) < 5 || !strings.HasSuffix(fields[1], local) || fields[3] == "0A" {
			continue
		}
		_, queue, _ := strings.Cut(fields[4], ":")
		waiting, err := strconv.ParseInt(queue, 16, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/net/tcp: %w", err)
		}
		bytesUnread += waiting
	}
	return bytesUnread, nil
}
