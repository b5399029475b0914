package cache

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"stayput.dev/cluster"
)

// Live returns a reader of an API server that gets single objects of
// [cluster.Kinds] with half the work of general, another reader of the same API
// server: over HTTP/1.1, in protobuf, without discovery. Whatever is not simply
// the object, or a Status that says that there is none, is left to general,
// which asks again, retries, and knows the errors; so are lists.
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
	l := &live{Reader: general, base: *base, transport: transport, places: map[reflect.Type]place{}}
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
	}
	return l, nil
}

type live struct {
	cluster.Reader
	base      url.URL // without a slash at its end
	transport http.RoundTripper
	places    map[reflect.Type]place
}

// A place is where the objects of a kind are.
type place struct {
	group string // path of the group and version
	kind  *cluster.Kind
}

// header is that of all requests, which transports do not edit.
var header = http.Header{"Accept": {runtime.ContentTypeProtobuf}}

// Get implements [cluster.Reader].
func (l *live) Get(ctx context.Context, key types.NamespacedName, obj cluster.Object) error {
	at, ok := l.places[reflect.TypeOf(obj)]
	into, decodes := obj.(interface{ Unmarshal([]byte) error })
	if !ok || !decodes || len(content.IsPathSegmentName(key.Name)) > 0 || key.Name == "" {
		return l.Reader.Get(ctx, key, obj)
	}
	path := l.base.Path + at.group
	if !at.kind.ClusterScoped {
		if key.Namespace == "" || len(content.IsPathSegmentName(key.Namespace)) > 0 {
			return l.Reader.Get(ctx, key, obj)
		}
		path += "/namespaces/" + key.Namespace
	}
	target := l.base
	target.Path = path + "/" + at.kind.Resource + "/" + key.Name
	req := (&http.Request{Method: http.MethodGet, URL: &target, Host: target.Host, Header: header, Proto: "HTTP/1.1",
		ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	resp, err := l.transport.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return l.Reader.Get(ctx, key, obj)
	}
	found, err := read(resp)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
	case resp.StatusCode == http.StatusOK && found.Kind == at.kind.GVK().Kind && into.Unmarshal(found.Raw) == nil:
		return nil
	case resp.StatusCode == http.StatusNotFound && found.Kind == "Status":
		var status metav1.Status
		if status.Unmarshal(found.Raw) == nil && status.Reason == metav1.StatusReasonNotFound && status.Details != nil &&
			status.Details.Name == key.Name {
			return apierrors.NewNotFound(at.kind.GVR().GroupResource(), key.Name)
		}
	}
	reflect.ValueOf(obj).Elem().SetZero()
	return l.Reader.Get(ctx, key, obj)
}

// magic begins a message in Kubernetes' protobuf.
var magic = []byte("k8s\x00")

// read reads an answer and returns what is in it, still encoded.
func read(resp *http.Response) (*runtime.Unknown, error) {
	defer resp.Body.Close()
	var body bytes.Buffer
	if n := resp.ContentLength; n > 0 && n < 1<<20 {
		body.Grow(int(n) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	data, ok := bytes.CutPrefix(body.Bytes(), magic)
	if !ok {
		return nil, fmt.Errorf("%s is not protobuf", resp.Header.Get("Content-Type"))
	}
	found := new(runtime.Unknown)
	return found, found.Unmarshal(data)
}
