package localcluster

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

// Start tries other ports when one was taken in between, which every component
// says in its own way.
func TestTakenPortIsRecognised(t *testing.T) {
	c, err := Start(t.Context(), Options{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	// The API server and etcd last: the others need them.
	for _, tt := range []struct {
		component string
		port      int
	}{
		{"coredns", c.ports.dns},
		{"kwok", c.ports.kwok},
		{"kube-scheduler", c.ports.scheduler},
		{"kube-controller-manager", c.ports.controllers},
		{"kube-apiserver", c.ports.apiServer},
		{"etcd", c.ports.etcd},
	} {
		t.Run(tt.component, func(t *testing.T) {
			if err := c.Kill(tt.component); err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", loopback(tt.port))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := c.Restart(t.Context(), tt.component); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("restart on a taken port: %v", err)
			}
		})
	}
}
