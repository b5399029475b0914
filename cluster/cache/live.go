package cache

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"stayput.dev/cluster"
)

// Live returns a reader of an API server that gets objects of [cluster.Kinds], and
// lists of them, with half the work of general, another reader of the same API server:
// over HTTP/1.1, in protobuf, without discovery. Whatever is not simply the object,
// the list, or a Status that says that there is no such object, is left to general,
// which asks again, retries, and knows the errors.
func Live(config *rest.Config, general cluster.Reader) (cluster.Reader, error) {
	config = rest.CopyConfig(config)
	config.NextProtos, config.DisableCompression = []string{"http/1.1"}, true
	if config.UserAgent == "" {
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("prepare to ask %s: %w", config.Host, err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("prepare to ask %s: %w", config.Host, err)
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	l := &live{Reader: general, base: *base, transport: transport, places: map[reflect.Type]place{},
		header: http.Header{"Accept": {runtime.ContentTypeProtobuf}, "User-Agent": {config.UserAgent}}}
	for i := range cluster.Kinds {
		kind := &cluster.Kinds[i]
		if kind.Optional { // an older API server has no such path, which general tells from an object that is missing
			continue
		}
		gvr := kind.GVR()
		path := "/apis/" + gvr.Group + "/" + gvr.Version
		if gvr.Group == "" {
			path = "/api/" + gvr.Version
		}
		l.places[reflect.TypeOf(kind.Object)] = place{path, kind}
		gvk := kind.GVK()
		if list, err := cluster.Scheme().New(gvk.GroupVersion().WithKind(gvk.Kind + "List")); err == nil {
			l.places[reflect.TypeOf(list)] = place{path, kind}
		}
	}
	return l, nil
}

type live struct {
	cluster.Reader
	base      url.URL // without a slash at its end
	transport http.RoundTripper
	header    http.Header // of all requests; transports do not edit it
	places    map[reflect.Type]place
}

// A place is where the objects of a kind are.
type place struct {
	group string // path of the group and version
	kind  *cluster.Kind
}

// An unmarshaler is an object or a list that can be read from protobuf.
type unmarshaler interface{ Unmarshal([]byte) error }

// Get implements [cluster.Reader].
func (l *live) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	at, ok := l.places[reflect.TypeOf(obj)]
	into, decodes := obj.(unmarshaler)
	if !ok || !decodes || len(content.IsPathSegmentName(key.Name)) > 0 || key.Name == "" ||
		at.kind.ClusterScoped != (key.Namespace == "") || !isSegment(key.Namespace) {
		return l.Reader.Get(ctx, key, obj)
	}
	target := l.base
	target.Path += at.path(key.Namespace) + "/" + key.Name
	found := messages.Get().(*message)
	defer found.giveBack()
	status, err := l.ask(ctx, &target, found)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
	case status == http.StatusOK && found.Kind == at.kind.GVK().Kind && into.Unmarshal(found.Raw) == nil:
		return nil
	case status == http.StatusNotFound && found.Kind == "Status":
		var status metav1.Status
		if status.Unmarshal(found.Raw) == nil && status.Reason == metav1.StatusReasonNotFound && status.Details != nil &&
			status.Details.Name == key.Name {
			return apierrors.NewNotFound(at.kind.GVR().GroupResource(), key.Name)
		}
	}
	reflect.ValueOf(obj).Elem().SetZero()
	return l.Reader.Get(ctx, key, obj)
}

// List implements [cluster.Reader].
func (l *live) List(ctx context.Context, list cluster.ObjectList, selected cluster.Selection) error {
	at, ok := l.places[reflect.TypeOf(list)]
	into, decodes := list.(unmarshaler)
	text, plain := selected.Text()
	if !ok || !decodes || !plain || at.kind.ClusterScoped && selected.Namespace != "" || !isSegment(selected.Namespace) {
		return l.Reader.List(ctx, list, selected)
	}
	target := l.base
	target.Path += at.path(selected.Namespace)
	if text != "" {
		target.RawQuery = "labelSelector=" + url.QueryEscape(text)
	}
	found := messages.Get().(*message)
	defer found.giveBack()
	status, err := l.ask(ctx, &target, found)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
	case status == http.StatusOK && found.Kind == at.kind.GVK().Kind+"List" && into.Unmarshal(found.Raw) == nil &&
		list.GetContinue() == "":
		return nil
	}
	reflect.ValueOf(list).Elem().SetZero()
	return l.Reader.List(ctx, list, selected)
}

// isSegment says whether a namespace, if there is one, can stand in a path.
func isSegment(namespace string) bool {
	return namespace == "" || len(content.IsPathSegmentName(namespace)) == 0
}

// path returns where the objects are, in a namespace unless that is "".
func (p place) path(namespace string) string {
	if namespace == "" {
		return p.group + "/" + p.kind.Resource
	}
	return p.group + "/namespaces/" + namespace + "/" + p.kind.Resource
}

// ask sends a request, reads its answer into found and returns its code.
func (l *live) ask(ctx context.Context, target *url.URL, found *message) (status int, err error) {
	req := (&http.Request{Method: http.MethodGet, URL: target, Host: target.Host, Header: l.header, Proto: "HTTP/1.1",
		ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	resp, err := l.transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, found.read(resp)
}

// A message is an answer, whose object is still encoded. What is decoded from it shares
// no memory with it.
type message struct {
	runtime.Unknown
	body bytes.Buffer
}

var messages = sync.Pool{New: func() any { return new(message) }}

// giveBack lets the memory of a message be used again, unless it is much.
func (m *message) giveBack() {
	if m.body.Cap() <= 64<<10 {
		messages.Put(m)
	}
}

// magic begins a message in Kubernetes' protobuf.
var magic = []byte("k8s\x00")

// read reads an answer.
func (m *message) read(resp *http.Response) error {
	defer resp.Body.Close()
	m.body.Reset()
	if n := resp.ContentLength; n > 0 && n < 1<<20 {
		m.body.Grow(int(n) + bytes.MinRead)
	}
	if _, err := m.body.ReadFrom(resp.Body); err != nil {
		return err
	}
	data, ok := bytes.CutPrefix(m.body.Bytes(), magic)
	if !ok {
		return fmt.Errorf("%s is not protobuf", resp.Header.Get("Content-Type"))
	}
	m.Unknown = runtime.Unknown{Raw: m.Raw[:0]}
	return m.Unmarshal(data)
}
