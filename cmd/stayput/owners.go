//go:build !light

package main

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/report"
)

// owners returns a function that lists the metadata of custom resources, with
// the caller's permissions and in the namespaces that were asked for. A kind
// that cannot be listed is reported, and does not end the audit.
func (f *fetcher) owners(ctx context.Context) report.Lookup {
	return func(kind schema.GroupVersionKind) ([]metav1.PartialObjectMetadata, error) {
		done := f.progress.begin("listing owners, "+kind.Kind, -1)
		defer done()
		namespaces := f.namespaces
		mapping, err := f.client.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
		switch {
		case meta.IsNoMatchError(err):
			return nil, errors.New("the cluster does not serve this kind")
		case err != nil:
			return nil, err
		case len(namespaces) == 0 || mapping.Scope.Name() != meta.RESTScopeNameNamespace:
			namespaces = []string{metav1.NamespaceAll}
		}
		var found []metav1.PartialObjectMetadata
		for _, ns := range namespaces {
			items, err := f.metadata(ctx, kind, ns)
			if apierrors.IsForbidden(err) {
				return nil, errors.New("the API server does not let you list it")
			}
			if err != nil {
				return nil, err
			}
			found = append(found, items...)
		}
		return found, nil
	}
}

// metadata lists the metadata of a kind, page by page.
func (f *fetcher) metadata(ctx context.Context, kind schema.GroupVersionKind,
	namespace string) (items []metav1.PartialObjectMetadata, err error) {
	p := pager.New(func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		return list, f.client.List(ctx, list, &client.ListOptions{Namespace: namespace, Limit: opts.Limit,
			Continue: opts.Continue, Raw: &opts})
	})
	p.PageSize = f.chunkSize
	err = p.EachListItem(ctx, metav1.ListOptions{}, func(obj runtime.Object) error {
		m := obj.(*metav1.PartialObjectMetadata)
		items = append(items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: m.Namespace, Name: m.Name, UID: m.UID, OwnerReferences: m.OwnerReferences, Finalizers: m.Finalizers,
		}})
		return nil
	})
	return items, err
}
