package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"stayput.dev/cluster"
)

// servers are the servers that Stayput is compared with, each a process of its own.
var servers = map[string]func() http.Handler{
	"bare":        func() http.Handler { return http.HandlerFunc(bare) },
	"floor":       func() http.Handler { return http.HandlerFunc(floor) },
	"cr-validate": func() http.Handler { return controllerRuntime(false) },
	"cr-patch":    func() http.Handler { return controllerRuntime(true) },
}

// serve runs one of them until its standard input ends. It prints the addresses of
// its two endpoints: admission and metrics.
func serve(name, certFile, keyFile string) error {
	handler, ok := servers[name]
	if !ok {
		return fmt.Errorf("no server is called %q", name)
	}
	ctrl.SetLogger(logr.Discard())
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	side, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	go func() { _ = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Second}).Serve(side) }()
	srv := &http.Server{
		Handler: handler(), ReadHeaderTimeout: 5 * time.Second,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
			Certificates: []tls.Certificate{pair}},
	}
	go func() { _ = srv.ServeTLS(listener, "", "") }()
	fmt.Println(listener.Addr(), side.Addr())
	_, _ = io.Copy(io.Discard, stdin)
	return srv.Close()
}

// bare reads the body and answers with its uid, which is the cost of any webhook.
func bare(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":%q,"allowed":true}}`,
		uidOf(body))
}

// floor decodes with the standard library the objects that a typed webhook must
// decode.
func floor(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &review)
	}
	if err != nil || review.Request == nil {
		http.Error(w, "no AdmissionReview", http.StatusBadRequest)
		return
	}
	for _, raw := range [][]byte{review.Request.OldObject.Raw, review.Request.Object.Raw} {
		if len(raw) == 0 {
			continue
		}
		obj, err := cluster.Scheme().New(schema.GroupVersionKind(review.Request.Kind))
		if err == nil {
			err = json.Unmarshal(raw, obj)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(admissionv1.AdmissionReview{
		TypeMeta: review.TypeMeta, Response: &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true},
	})
}

// controllerRuntime is a webhook as in kubebuilder's book, without lookups: it
// decodes the object, and checks one field or sets a few.
func controllerRuntime(patch bool) http.Handler {
	h := &typed{admission.NewDecoder(cluster.Scheme()), patch}
	return &admission.Webhook{Handler: h, LogConstructor: func(logr.Logger,
		*admission.Request) logr.Logger {
		return logr.Discard()
	}}
}

type typed struct {
	admission.Decoder
	patch bool
}

func (t *typed) Handle(_ context.Context, req admission.Request) admission.Response {
	var obj cluster.Object
	for _, raw := range []runtime.RawExtension{req.OldObject, req.Object} {
		if len(raw.Raw) == 0 {
			continue
		}
		made, err := cluster.Scheme().New(schema.GroupVersionKind(req.Kind))
		if err == nil {
			err = t.DecodeRaw(raw, made)
		}
		if err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		obj = made.(cluster.Object)
	}
	if !t.patch {
		if obj.GetName() == "" && obj.GetGenerateName() == "" {
			return admission.Denied("no name")
		}
		return admission.Allowed("")
	}
	before := obj.DeepCopyObject()
	switch obj := obj.(type) { // what Stayput does to them
	case *corev1.Pod:
		if obj.Name == "" {
			obj.Name = obj.GenerateName + "abcde"
		}
		obj.Spec.Hostname, obj.Spec.Subdomain = obj.Name, obj.Labels["stayput.dev/subdomain"]
	case *corev1.PersistentVolume:
		obj.Annotations["stayput.dev/claim-of"], obj.Annotations["stayput.dev/reclaim-policy-set"] = "db/data/0",
			"Retain/configuration"
	}
	if reflect.DeepEqual(before, obj) { // as admission.WithDefaulter ends early from 0.24 on
		return admission.Allowed("")
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, data)
}
