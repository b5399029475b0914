package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
)

// What is found in manifests, without a rule: that the API server or kubectl makes
// something else of a value than its author wrote.
const (
	fractionalSize = "fractional-size"
	mergedPorts    = "merged-ports"
)

// remarksOf returns what is to be said of the values in an object.
func remarksOf(obj cluster.Object) (found []manifest.Remark) {
	size := func(path string, list corev1.ResourceList, why string) {
		if q, ok := list[corev1.ResourceStorage]; ok && fractional(q) {
			path += "[" + string(corev1.ResourceStorage) + "]"
			found = append(found, manifest.Remark{Name: fractionalSize, Field: path,
				Remedy: fmt.Sprintf("storage: %dMi", (q.Value()-1)>>20+1),
				Text: fmt.Sprintf("%s: Invalid value: %q: must be a whole number of bytes, or it is kept in thousandths of one%s",
					path, q.String(), why)})
		}
	}
	for _, c := range claimsIn(obj) {
		why := ""
		if c.template {
			why = ", in the template for good and in every claim"
		}
		size(c.path+".resources.requests", c.claim.Resources.Requests, why)
	}
	switch o := obj.(type) {
	case *corev1.PersistentVolume:
		size("spec.capacity", o.Spec.Capacity, "")
	case *corev1.Service:
		if o.Spec.ClusterIP != corev1.ClusterIPNone {
			return found
		}
		first := map[int32]int{}
		for i, port := range o.Spec.Ports {
			if j, twice := first[port.Port]; twice {
				path := fmt.Sprintf("spec.ports[%d].port", i)
				found = append(found, manifest.Remark{Name: mergedPorts, Field: path, Remedy: "kubectl apply --server-side",
					Text: fmt.Sprintf("%s: Duplicate value: %d: must not be the number of ports[%d] too where kubectl apply changes "+
						"the Service; it tells ports apart by number, and loses one", path, port.Port, j)})
				continue
			}
			first[port.Port] = i
		}
	}
	return found
}

// fractional says whether a size has a part that is less than a byte: 0.1Gi.
func fractional(q resource.Quantity) bool {
	text := q.String()
	return text != "" && strings.ContainsRune("mun", rune(text[len(text)-1]))
}
