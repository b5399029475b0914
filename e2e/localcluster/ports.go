package localcluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are below those that the system uses for outgoing connections (from 32768
// on Linux). Otherwise a port could be in use when its component is started again,
// and a client that dials the component meanwhile could get that port for its own
// end, and connect to itself.
const firstPort, lastPort = 12000, 32000

// freePorts finds n ports that are free on 127.0.0.1 for TCP and UDP. Another
// process may take one before it is used.
func freePorts(n int) ([]int, error) {
	var ports []int
	seen := map[int]bool{}
	for range 100 * n {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort)
		if !seen[port] && isFree(port) {
			ports = append(ports, port)
		}
		seen[port] = true
	}
	return nil, fmt.Errorf("find %d free ports from %d to %d on 127.0.0.1", n, firstPort, lastPort)
}

func isFree(port int) bool {
	addr := loopback(port)
	tcp, tcpErr := net.Listen("tcp", addr)
	if tcpErr == nil {
		tcp.Close()
	}
	udp, udpErr := net.ListenPacket("udp", addr)
	if udpErr == nil {
		udp.Close()
	}
	return errors.Join(tcpErr, udpErr) == nil
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
