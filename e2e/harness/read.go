package harness

import (
	"bytes"
	"cmp"
	"context"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/util/jsonpath"
)

// A reader prints what `kubectl get -o jsonpath=` would print, with the libraries
// of kubectl and without its process, which needs a tenth of a second of CPU
// before it asks anything: half of what tests run kubectl for is a read, most of them
// while they wait for something.
type reader struct {
	mu     sync.Mutex
	client dynamic.Interface
	mapper meta.RESTMapper
}

// A read is a command line of kubectl get that a reader understands.
type read struct {
	resource, name, namespace, selector string
	path                                *jsonpath.JSONPath
}

// parseRead says whether args are `get TYPE [NAME] [-n NAMESPACE] [-l SELECTOR] -o
// jsonpath=PATH`, or `get TYPE/NAME ...`, and nothing else.
func parseRead(args []string) (r read, ok bool) {
	if len(args) == 0 || args[0] != "get" {
		return r, false
	}
	var operands []string
	for i := 1; i < len(args); i++ {
		value := ""
		if strings.HasPrefix(args[i], "-") {
			if i+1 == len(args) {
				return r, false
			}
			value = args[i+1]
		}
		switch args[i] {
		case "-n":
			r.namespace = value
		case "-l":
			r.selector = value
		case "-o":
			text, is := strings.CutPrefix(value, "jsonpath=")
			r.path = jsonpath.New("").AllowMissingKeys(true)
			if !is || !strings.HasPrefix(text, "{") || r.path.Parse(text) != nil {
				return r, false
			}
		default:
			if strings.HasPrefix(args[i], "-") {
				return r, false
			}
			operands = append(operands, args[i])
			continue
		}
		i++
	}
	switch {
	case len(operands) == 1:
		r.resource, r.name, _ = strings.Cut(operands[0], "/")
	case len(operands) == 2 && !strings.Contains(operands[0]+operands[1], "/"):
		r.resource, r.name = operands[0], operands[1]
	default:
		return r, false
	}
	return r, r.path != nil && !strings.Contains(r.resource, ",") && (r.name == "" || r.selector == "")
}

// get runs kubectl get, unless it is one that is left to kubectl, as all are that
// fail: kubectl has the words for that.
func (r *reader) get(ctx context.Context, config *rest.Config, args []string) (out string, ok bool) {
	line, ok := parseRead(args)
	if !ok {
		return "", false
	}
	objects, err := r.find(config, line.resource, line.namespace)
	if err != nil {
		return "", false
	}
	var content map[string]any
	if line.name != "" {
		obj, err := objects.Get(ctx, line.name, metav1.GetOptions{})
		if err != nil {
			return "", false
		}
		content = obj.Object
	} else {
		list, err := objects.List(ctx, metav1.ListOptions{LabelSelector: line.selector})
		if err != nil {
			return "", false
		}
		list.SetAPIVersion("v1") // what kubectl makes of all lists
		list.SetKind("List")
		content = list.UnstructuredContent()
	}
	var b bytes.Buffer
	if line.path.Execute(&b, content) != nil {
		return "", false
	}
	return b.String(), true
}

// find returns the objects of a resource, which may be called by a short name, as pvc;
// those in a namespace, by default "default", if they are in one.
func (r *reader) find(config *rest.Config, resource, namespace string) (dynamic.ResourceInterface, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		config = rest.CopyConfig(config)
		config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
		asked, err := discovery.NewDiscoveryClientForConfig(config)
		if err != nil {
			return nil, err
		}
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		kinds := memory.NewMemCacheClient(asked)
		r.client = client
		r.mapper = restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(kinds), kinds, nil)
	}
	kind, err := r.mapper.KindFor(schema.ParseGroupResource(resource).WithVersion(""))
	if err != nil {
		return nil, err
	}
	mapping, err := r.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	objects := r.client.Resource(mapping.Resource)
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return objects, nil
	}
	return objects.Namespace(cmp.Or(namespace, metav1.NamespaceDefault)), nil
}
