package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionreviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/certs"
	"stayput.dev/cluster"
	"stayput.dev/webhook"
)

// A certLab is a namespace with replicas that make their own certificates, an
// account with exactly the permissions they need, two configurations that fail
// closed, and a load balancer by which the API server reaches the replicas.
type certLab struct {
	*testing.T
	ns       string // also the name of the configurations
	admin    client.WithWatch
	account  *rest.Config
	front    *balancer
	replicas []*certReplica
	log      *safeBuffer
}

const certService = "stayput"

func newCertLab(t *testing.T) *certLab {
	l := &certLab{T: t, ns: namespace(t), front: newBalancer(t), log: &safeBuffer{}}
	l.admin = l.client(env.Cluster.Config())
	d := webhook.Deployment{Name: l.ns, Namespace: l.ns}
	clusterRole, err := d.ClusterRole(nil, nil)
	l.must(err)
	l.make(d.SecretRole(webhook.DefaultSecret))
	l.make(clusterRole)
	l.account = rest.AnonymousClientConfig(env.Cluster.Config())
	l.account.BearerToken = newAccount(t, l.ns, certService, "rolebinding --role="+l.ns+"-certificates",
		"clusterrolebinding --clusterrole="+l.ns)
	t.Cleanup(l.stop)
	return l
}

func (l *certLab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *certLab) client(config *rest.Config) client.WithWatch {
	l.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	c, err := client.NewWithWatch(config, client.Options{Scheme: cluster.Scheme()})
	l.must(err)
	return c
}

// make creates an object that goes when the test ends.
func (l *certLab) make(obj cluster.Object) {
	l.Helper()
	l.must(l.admin.Create(l.Context(), obj))
	l.Cleanup(func() { _ = l.admin.Delete(context.Background(), obj) })
}

// configure makes the two configurations, without a caBundle, as the chart
// does.
func (l *certLab) configure() {
	l.Helper()
	fail, none, url := admissionv1.Fail, admissionv1.SideEffectClassNone, "https://"+l.front.address()+"/admit"
	rules := []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}
	here := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: l.ns}}
	l.make(&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: l.ns},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "mutate.stayput.dev", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, Rules: rules,
			FailurePolicy:     &fail,
			NamespaceSelector: here, SideEffects: &none, AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: new(int32(10)),
		}}})
	l.make(&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: l.ns},
		Webhooks: []admissionv1.ValidatingWebhook{
			{
				Name: "one.stayput.dev", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, Rules: rules,
				FailurePolicy:     &fail,
				NamespaceSelector: here, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
				TimeoutSeconds: new(int32(10)),
			},
			{
				Name: "two.stayput.dev", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, FailurePolicy: &fail,
				SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			},
		}})
}

// A certReplica is one replica of Stayput, in this process.
type certReplica struct {
	source   *certs.SelfSigned
	server   *webhook.Server
	registry *prometheus.Registry
	offset   atomic.Int64 // of its clock
	stop     func()
}

// start runs n replicas, all at once, and waits until they are ready.
func (l *certLab) start(n int, life certs.Lifetimes) {
	l.Helper()
	l.stop()
	var begin sync.WaitGroup
	begin.Add(1)
	for i := range n {
		r := l.prepare(i, life)
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		for _, run := range []func(context.Context) error{r.source.Start, r.server.Start} {
			done.Go(func() {
				begin.Wait()
				if err := run(ctx); err != nil {
					l.Error(err)
				}
			})
		}
		r.stop = func() { cancel(); done.Wait() }
		l.replicas = append(l.replicas, r)
		l.front.add(r.server.Listener.Addr().String())
	}
	begin.Done()
	l.ready()
}

func (l *certLab) prepare(i int, life certs.Lifetimes) *certReplica {
	l.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	l.must(err)
	r := &certReplica{registry: prometheus.NewRegistry()}
	clock := func() time.Time { return time.Now().Add(time.Duration(r.offset.Load())) }
	log := slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("replica", i)
	m := certs.NewMetrics()
	trust := &certs.Trust{Client: l.client(l.account), Name: l.ns, Log: log, Metrics: m, Now: clock}
	r.source = &certs.SelfSigned{
		Client: trust.Client, Namespace: l.ns, Service: certService, Secret: webhook.DefaultSecret,
		Names: []string{"127.0.0.1"},
		Trust: trust, Log: log, Metrics: m, Lifetimes: life, Settle: time.Second, Now: clock,
	}
	m.Expose(r.registry, r.source, trust, clock)
	r.server = &webhook.Server{Listener: listener, Handler: http.HandlerFunc(admitAll), Source: r.source, Log: log,
		Trusted: func() error { return trust.Verify(r.source) }}
	return r
}

// admitAll allows everything, over a connection that is never used again.
func admitAll(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	var review admissionreviewv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "not a review", http.StatusBadRequest)
		return
	}
	review.Response = &admissionreviewv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	review.Request = nil
	_ = json.NewEncoder(w).Encode(review)
}

func (l *certLab) ready() {
	l.Helper()
	for i, r := range l.replicas {
		eventually(l.T, fmt.Sprintf("replica %d is not ready", i), func() error { return r.server.Ready(nil) })
	}
}

func (l *certLab) stop() {
	for _, r := range l.replicas {
		l.front.remove(r.server.Listener.Addr().String())
	}
	for _, r := range l.replicas {
		r.stop()
	}
	l.replicas = nil
}

// count sums a metric of all replicas.
func (l *certLab) count(name, what string) (sum float64) {
	l.Helper()
	for _, r := range l.replicas {
		families, err := r.registry.Gather()
		l.must(err)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == name && m.GetLabel()[0].GetValue() == what {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

// load creates objects until it is stopped, and returns their number. It fails the
// test for each object that was not admitted.
func (l *certLab) load() (end func() int64) {
	l.Helper()
	l.admitted() // the API server knows the configurations and their bundle
	var made, failed atomic.Int64
	var wg sync.WaitGroup
	quit := make(chan struct{})
	handshakes := strings.Count(l.log.String(), "TLS handshake error")
	for range 4 {
		c := l.client(env.Cluster.Config())
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if err := l.create(c); err == nil {
					made.Add(1)
				} else if failed.Add(1) <= 5 {
					l.Errorf("not admitted: %v", err)
				}
			}
		})
	}
	return func() int64 {
		l.Helper()
		close(quit)
		wg.Wait()
		if n := strings.Count(l.log.String(), "TLS handshake error") - handshakes; n > 0 || failed.Load() > 0 {
			l.Errorf("%d failed handshakes and %d failed admissions beside %d good ones", n, failed.Load(), made.Load())
		}
		return made.Load()
	}
}

func (l *certLab) create(c client.Client) error {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, GenerateName: "load-"}}
	return c.Create(context.Background(), cm, client.DryRunAll)
}

// admitted waits until the API server has called the webhooks successfully twenty
// times in a row.
func (l *certLab) admitted() {
	l.Helper()
	eventually(l.T, "the API server is not answered", func() error {
		for range 20 {
			if err := l.create(l.admin); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *certLab) secret() *corev1.Secret {
	l.Helper()
	var s corev1.Secret
	l.must(l.admin.Get(l.Context(), client.ObjectKey{Namespace: l.ns, Name: webhook.DefaultSecret}, &s))
	return &s
}

// rounds is how often something is done: long with STAYPUT_PROOF set.
func rounds(short, long int) int {
	if os.Getenv("STAYPUT_PROOF") != "" {
		return long
	}
	return short
}

// A balancer hands TCP connections to its backends in turn.
type balancer struct {
	l        net.Listener
	mu       sync.Mutex
	backends []string
	next     int
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	b := &balancer{l: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.forward(conn)
		}
	}()
	return b
}

func (b *balancer) address() string { return b.l.Addr().String() }

func (b *balancer) add(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = append(b.backends, address)
}

func (b *balancer) remove(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, a := range b.backends {
		if a == address {
			b.backends = append(b.backends[:i:i], b.backends[i+1:]...)
			return
		}
	}
}

func (b *balancer) forward(front net.Conn) {
	defer front.Close()
	b.mu.Lock()
	if len(b.backends) == 0 {
		b.mu.Unlock()
		return
	}
	b.next++
	address := b.backends[b.next%len(b.backends)]
	b.mu.Unlock()
	back, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer back.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(back, front)
		_ = back.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(front, back)
	_ = front.(*net.TCPConn).CloseWrite()
	<-done
}

// A safeBuffer can be written and read concurrently.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
