package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/flowcontrol"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
	"stayput.dev/webhook"
	"stayput.dev/webhook/repair"
)

// repairRate is how many volumes are written or reported in a second: 5 000
// take four minutes, and other clients are not delayed.
const repairRate = 20

// repairWaiters is how many creations may wait at once for repair to retain
// their volumes. Each takes one slot of the requests in flight.
const repairWaiters = 8

// addRepair adds what watches volumes to the manager: the count of those that
// are retained, and repair unless it is off.
func (f *serveFlags) addRepair(mgr ctrl.Manager, w *webhook.Webhook, mode repair.Mode) error {
	repaired := repair.Of(w.Mutators)
	if len(repaired) == 0 {
		return nil
	}
	if err := metrics.Registry.Register(repair.RetainedVolumes{Environment: w.Environment}); err != nil {
		return fmt.Errorf("prepare to count volumes: %w", err)
	}
	if mode == repair.Off {
		return nil
	}
	r := &repair.Controller{
		Mode: mode, Policy: w.Policy, Mutators: repaired,
		Environment: cluster.Environment{Source: cache.Reader(mgr.GetCache()), Finder: w.Environment.Finder,
			Live: w.Environment.Live, Retain: w.Environment.Retain, ClusterDomain: w.Environment.ClusterDomain},
		Cluster: mgr.GetClient(), Events: mgr.GetEventRecorder("stayput"),
		Limit:   flowcontrol.NewTokenBucketRateLimiter(repairRate, repairRate),
		Metrics: repair.NewMetrics(metrics.Registry), Log: w.Log,
	}
	if mode != repair.Report {
		w.Environment.Waiters = make(chan struct{}, repairWaiters)
	}
	namespace, err := f.ownNamespace()
	if err != nil {
		return err
	}
	if namespace != "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("name this replica: %w", err)
		}
		leases, err := coordinationclient.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
		if err != nil {
			return fmt.Errorf("prepare to repair: %w", err)
		}
		core, err := coreclient.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
		if err != nil {
			return fmt.Errorf("prepare to repair: %w", err)
		}
		r.Lead = &repair.Leadership{Leases: leases, ConfigMaps: core, Namespace: namespace, Identity: host + "_" +
			string(uuid.NewUUID()), Log: w.Log}
	}
	return r.SetUp(mgr)
}

// ownNamespace returns the namespace that Stayput runs in, or "" outside a
// cluster.
func (f *serveFlags) ownNamespace() (string, error) {
	if f.namespace != "" {
		return f.namespace, nil
	}
	data, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find the namespace of this Pod, for want of --namespace: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
