#!/usr/bin/env bash
# The protocol in which the API server calls a webhook that speaks HTTP/2 and HTTP/1.1.
#
# One would think: it negotiates; a webhook developed beside a local API server is spoken to as it will be in a cluster.
# Seen: HTTP/2 for a URL on localhost or 127.x, over one connection; HTTP/1.1 for every Service and every other host,
# whatever the webhook offers. So what is measured, limited or debugged beside a local API server (streams for
# connections, flow control) is another protocol than what is deployed. With k8s.io/apiserver 0.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program k8s.io/apiserver@v0.37.1 k8s.io/api@v0.37.1 k8s.io/client-go@v0.37.1 <<'GO' | as_seen 'url on 127.0.0.1: "HTTP/2.0"
service: "HTTP/1.1"'
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/util/cert"
)

type resolver struct{ *url.URL }

func (r resolver) ResolveEndpoint(string, string, int32) (*url.URL, error) { return r.URL, nil }

func main() {
	called := ""
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called = r.Proto
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "{}")
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca, key, _ := cert.GenerateSelfSignedCertKey("b.a.svc", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	pair, _ := tls.X509KeyPair(ca, key)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	defer server.Close()
	at, _ := url.Parse(server.URL)
	port, _ := strconv.Atoi(at.Port())

	clients, _ := webhook.NewClientManager(nil, admissionv1.AddToScheme)
	auth, _ := webhook.NewDefaultAuthenticationInfoResolver("")
	clients.SetAuthenticationInfoResolver(auth)
	clients.SetServiceResolver(resolver{at})
	for _, to := range []webhook.ClientConfig{
		{Name: "url on 127.0.0.1", URL: server.URL, CABundle: ca},
		{Name: "service", Service: &webhook.ClientConfigService{Namespace: "a", Name: "b", Port: int32(port)}, CABundle: ca},
	} {
		client, err := clients.HookClient(to)
		if err != nil {
			fmt.Println(err)
			continue
		}
		called = ""
		client.Post().Do(context.Background())
		fmt.Printf("%s: %q\n", to.Name, called)
	}
}
GO
