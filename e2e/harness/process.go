package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// FreeAddresses finds addresses of loopback that nobody listens at.
func FreeAddresses(into ...*string) error {
	for _, address := range into {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // when all are found, so that none is found twice
		*address = l.Addr().String()
	}
	return nil
}

// Memory returns what the kernel says in a field of /proc/PID/status, in bytes:
// VmRSS is resident, VmHWM the most that ever was. It needs Linux.
func Memory(pid int, field string) (int64, error) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %s: %w", file, field, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, field)
}

// ErrNoMetric is what Metric returns where there is none of the name.
var ErrNoMetric = errors.New("there is no such metric")

// Metric returns the value of a metric in the text of /metrics, or the sum where
// it has labels.
func Metric(text, name string) (sum float64, err error) {
	found := false
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		sum, found = sum+value, true
	}
	if !found {
		return 0, fmt.Errorf("%s: %w", name, ErrNoMetric)
	}
	return sum, nil
}
