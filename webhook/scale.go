package webhook

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// scaled makes the workload before and after of a request to statefulsets/scale
// or deployments/scale, which carries nothing but two Scales. Both are nil
// where the workload does not exist, and where it is not looked up, because the
// number stays what it was.
func scaled(v *cluster.View, req *request) (old, obj client.Object, err error) {
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
