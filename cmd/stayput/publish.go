//go:build !light

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/report"
)

// The APIs that reports can be written in. The second is the first's
// predecessor, which dashboards still read; their objects are alike.
const (
	openReports  = "openreports"
	policyReport = "policyreport"
)

// A reportAPI is what an API calls its kinds.
type reportAPI struct {
	group               schema.GroupVersion
	namespaced, cluster string
}

var reportAPIs = map[string]reportAPI{
	openReports: {schema.GroupVersion{Group: "openreports.io", Version: "v1alpha1"}, "Report", "ClusterReport"},
	policyReport: {schema.GroupVersion{Group: "wgpolicyk8s.io", Version: "v1alpha2"}, "PolicyReport",
		"ClusterPolicyReport"},
}

// reportName is the name of every report that audit writes; fieldOwner is who
// writes it.
const (
	reportName = "stayput"
	fieldOwner = "stayput-audit"
)

// publish writes a report for each namespace and one for the cluster, and
// takes back those of an earlier audit that there is nothing to say in any
// more. Where the API is missing, it says so and does nothing.
func (a *auditor) publish(ctx context.Context, c client.Client, r *report.Report, stderr io.Writer) error {
	api := reportAPIs[a.report]
	_, err := c.RESTMapper().RESTMapping(schema.GroupKind{Group: api.group.Group, Kind: api.namespaced}, api.group.Version)
	if meta.IsNoMatchError(err) {
		fmt.Fprintf(stderr, "stayput: --report %s: skipped, for the cluster does not have the CustomResourceDefinitions of "+
			"%s\n", a.report, api.group)
		return nil
	}
	if err != nil {
		return fmt.Errorf("--report %s: %w", a.report, err)
	}
	results := map[string][]openreports.ReportResult{}
	for i := range r.Findings {
		f := &r.Findings[i]
		results[f.Object.Namespace] = append(results[f.Object.Namespace], resultOf(f, r.Time))
	}
	for _, ns := range slices.Sorted(maps.Keys(results)) {
		if err := api.apply(ctx, c, ns, results[ns]); err != nil {
			return fmt.Errorf("--report %s: %w", a.report, err)
		}
	}
	if a.selector != "" || len(r.Errors) > 0 {
		return nil // what was not reviewed is not refuted either
	}
	return api.sweep(ctx, c, a.wants, results)
}

func resultOf(f *report.Finding, at string) openreports.ReportResult {
	result := openreports.ReportResult{
		Source: "stayput", Policy: f.Rule, Category: "Stateful workloads", Result: "warn", Severity: "medium", Scored: true,
		Description: f.Message,
		Properties:  map[string]string{"fingerprint": f.Fingerprint, "level": f.Level},
		Subjects: []corev1.ObjectReference{{
			APIVersion: f.Object.APIVersion, Kind: f.Object.Kind, Namespace: f.Object.Namespace, Name: f.Object.Name,
			FieldPath: f.Field,
		}},
	}
	if f.Denies() {
		result.Result, result.Severity = "fail", "high"
	}
	if f.Remedy != "" {
		result.Properties["fix"] = f.Remedy
	}
	if t := new(metav1.Time); t.UnmarshalQueryParameter(at) == nil {
		result.Timestamp = metav1.Timestamp{Seconds: t.Unix()}
	}
	return result
}

func (api reportAPI) apply(ctx context.Context, c client.Client, namespace string,
	results []openreports.ReportResult) error {
	rep := openreports.Report{Source: "stayput", Results: results}
	for _, res := range results {
		if res.Result == "fail" {
			rep.Summary.Fail++
		} else {
			rep.Summary.Warn++
		}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&rep)
	if err != nil {
		return err
	}
	if api.group.Group != "openreports.io" {
		delete(fields, "source") // its results have one each
	}
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(api.group.WithKind(api.kind(namespace)))
	u.SetNamespace(namespace)
	u.SetName(reportName)
	u.SetCreationTimestamp(metav1.Time{})
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	u.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "stayput"})
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(fieldOwner),
		client.ForceOwnership); err != nil {
		return fmt.Errorf("write %s %s: %w", u.GetKind(), strings.Trim(namespace+"/"+reportName, "/"), err)
	}
	return nil
}

func (api reportAPI) kind(namespace string) string {
	if namespace == "" {
		return api.cluster
	}
	return api.namespaced
}

// sweep deletes the reports of namespaces without findings.
func (api reportAPI) sweep(ctx context.Context, c client.Client, wants func(string) bool,
	results map[string][]openreports.ReportResult) error {
	for _, kind := range []string{api.namespaced, api.cluster} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(api.group.WithKind(kind + "List"))
		if err := c.List(ctx, list, client.MatchingLabels{"app.kubernetes.io/managed-by": "stayput"}); err != nil {
			return fmt.Errorf("list %ss: %w", kind, err)
		}
		for i := range list.Items {
			u := &list.Items[i]
			if u.GetName() != reportName || len(results[u.GetNamespace()]) > 0 || !wants(u.GetNamespace()) {
				continue
			}
			if err := c.Delete(ctx, u); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("delete %s %s: %w", kind, u.GetNamespace(), err)
			}
		}
	}
	return nil
}
