package webhook

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"

	"stayput.dev/cluster"
)

// scaled returns the workload before and after a request to statefulsets/scale
// or deployments/scale, which holds only two Scales. Both are nil if the
// workload does not exist, or if the number of replicas does not change, for
// which nothing is looked up.
func scaled(v *cluster.View, req *request) (old, obj cluster.Object, err error) {
	was, ok1 := req.old.(*autoscalingv1.Scale)
	is, ok2 := req.obj.(*autoscalingv1.Scale)
	if !ok1 || !ok2 {
		return nil, nil, nil // a Scale is never created or deleted
	}
	if was.Spec.Replicas == is.Spec.Replicas {
		return nil, nil, nil
	}
	switch req.Resource.Resource {
	case "statefulsets":
		// A Scale has none of the set's labels, and one that keeps the set from
		// going down may be newer than the cache.
		if live := v.Live(); is.Spec.Replicas == 0 && live != nil {
			v = live
		}
		sts, err := cluster.Get[appsv1.StatefulSet](v, req.Namespace, req.Name)
		if sts == nil || err != nil {
			return nil, nil, wrapScale(err, req)
		}
		before, after := *sts, *sts
		before.Spec.Replicas, after.Spec.Replicas = &was.Spec.Replicas, &is.Spec.Replicas
		return &before, &after, nil
	case "deployments":
		d, err := cluster.Get[appsv1.Deployment](v, req.Namespace, req.Name)
		if d == nil || err != nil {
			return nil, nil, wrapScale(err, req)
		}
		before, after := *d, *d
		before.Spec.Replicas, after.Spec.Replicas = &was.Spec.Replicas, &is.Spec.Replicas
		return &before, &after, nil
	}
	return nil, nil, nil
}

func wrapScale(err error, req *request) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("get what is scaled, %s %s/%s: %w", req.Resource.Resource, req.Namespace, req.Name, err)
}
