package localcluster

import (
	"context"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// HostPathProvisioner is a provisioner for StorageClasses: the controller manager
// makes a directory on this machine for each claim. This package creates no
// StorageClass. Both binding modes work, and the reclaim policy Delete removes the
// directory. Volumes cannot be expanded, and have no node affinity, so a Pod may
// use them from any of the fake nodes.
const HostPathProvisioner = "kubernetes.io/host-path"

// hostPathVolumes is the directory in which the provisioner makes its directories,
// a constant in Kubernetes as well.
const hostPathVolumes = "/tmp/hostpath_pv"

// provisionedBy is the annotation that the controller manager puts on a volume.
const provisionedBy = "pv.kubernetes.io/provisioned-by"

// trackVolumes adds every directory of the provisioner to the sweeper, because a
// volume may be deleted before the end while its directory is retained.
func (c *Cluster) trackVolumes(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(c.client, 0)
	informer := factory.Core().V1().PersistentVolumes().Informer()
	//         Tests kill the API server, so a broken watch is expected.
	quiet := func(context.Context, *cache.Reflector, error) {}
	if err := informer.SetWatchErrorHandlerWithContext(quiet); err != nil {
		return err
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if pv, ok := obj.(*corev1.PersistentVolume); ok {
				c.sweepVolume(pv)
			}
		},
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return nil
}

// sweepVolumes adds the volumes that trackVolumes has not seen yet. It does nothing
// if the API server does not answer.
func (c *Cluster) sweepVolumes() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	list, err := c.client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for i := range list.Items {
		c.sweepVolume(&list.Items[i])
	}
}

func (c *Cluster) sweepVolume(pv *corev1.PersistentVolume) {
	// Anyone may make a volume of any path; only the provisioner's are ours.
	if pv.Annotations[provisionedBy] != HostPathProvisioner || pv.Spec.HostPath == nil {
		return
	}
	if dir := pv.Spec.HostPath.Path; filepath.Dir(dir) == hostPathVolumes {
		c.sweeper.add(dir) // an error says that the cluster has stopped
	}
}
