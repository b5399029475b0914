package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// A caller sends payloads over connections that it keeps open, with as little work
// of its own as possible.
type caller struct {
	address string
	conns   []*tls.Conn
	readers []*bufio.Reader
}

// dial opens as many connections as a case uses at the same time, at most.
func dial(address string, ca *x509.CertPool, n int) (*caller, error) {
	c := &caller{address: address}
	for range n {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca, ServerName: "127.0.0.1",
			NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13})
		if err != nil {
			c.close()
			return nil, fmt.Errorf("connect to %s: %w", address, err)
		}
		c.conns, c.readers = append(c.conns, conn), append(c.readers, bufio.NewReaderSize(conn, 64<<10))
	}
	return c, nil
}

func (c *caller) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// request returns the bytes of a POST.
func (c *caller) request(path string, body []byte) []byte {
	head := fmt.Sprintf("POST %s?timeout=10s HTTP/1.1\r\nHost: %s\r\nUser-Agent: "+
		"kube-apiserver-admission\r\nContent-Type: application/json\r\nAccept: application/json, */*\r\nContent-Length: "+
		"%d\r\n\r\n", path, c.address, len(body))
	return append([]byte(head), body...)
}

// ask sends a request on one of the connections and returns the body of the answer,
// which is valid until the next call.
func (c *caller) ask(i int, request []byte, into *bytes.Buffer) error {
	if _, err := c.conns[i].Write(request); err != nil {
		return err
	}
	length, status := -1, ""
	for {
		line, err := c.readers[i].ReadSlice('\n')
		if err != nil {
			return err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if status == "" {
			status = string(line)
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && len(name) == len("Content-Length") &&
			strings.EqualFold(string(name), "Content-Length") {
			if _, err := fmt.Sscan(string(value), &length); err != nil {
				return err
			}
		}
	}
	into.Reset()
	if length < 0 { // chunked, which only an answer of more than 2 KiB is
		return readChunks(c.readers[i], into)
	}
	if _, err := io.CopyN(into, c.readers[i], int64(length)); err != nil {
		return err
	}
	if status != "HTTP/1.1 200 OK" {
		return fmt.Errorf("%s: %s", status, into)
	}
	return nil
}

// readChunks reads a chunked body.
func readChunks(r *bufio.Reader, into *bytes.Buffer) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		var n int64
		if _, err := fmt.Sscanf(line, "%x", &n); err != nil {
			return err
		}
		if _, err := io.CopyN(into, r, n); err != nil {
			return err
		}
		if _, err := r.Discard(2); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// verdict returns the kind of an answer: allowed, warned, denied or mutated.
func (c *caller) verdict(path string, body []byte) (verdict, text string, err error) {
	var answer bytes.Buffer
	if err := c.ask(0, c.request(path, body), &answer); err != nil {
		return "", "", err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(answer.Bytes(), &review); err != nil || review.Response == nil {
		return "", "", fmt.Errorf("no answer: %s", answer.String())
	}
	if string(review.Response.UID) != uidOf(body) {
		return "", "", errors.New("the answer is to another request")
	}
	verdict = "allowed"
	switch r := review.Response; {
	case !r.Allowed:
		verdict = "denied"
	case len(r.Patch) > 0:
		verdict = "mutated"
	case len(r.Warnings) > 0:
		verdict = "warned"
	}
	return verdict, answer.String(), nil
}

// load sends a payload for a time over some of the connections, and returns the
// sorted latencies of all answers.
func (c *caller) load(path string, body []byte, connections int, during time.Duration) ([]time.Duration, error) {
	request := c.request(path, body)
	times := make([][]time.Duration, connections)
	errs := make([]error, connections)
	end := time.Now().Add(during)
	var group sync.WaitGroup
	for i := range connections {
		group.Go(func() {
			var answer bytes.Buffer
			for last := time.Now(); last.Before(end); {
				if errs[i] = c.ask(i, request, &answer); errs[i] != nil {
					return
				}
				now := time.Now()
				times[i] = append(times[i], now.Sub(last))
				last = now
			}
		})
	}
	group.Wait()
	all := slices.Concat(times...)
	slices.Sort(all)
	return all, errors.Join(errs...)
}

// uidOf returns the uid of a review, which the API server writes first.
func uidOf(body []byte) string {
	_, rest, _ := bytes.Cut(body, []byte(`"uid":"`))
	uid, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(uid)
}
