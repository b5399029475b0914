package trim

import "google.golang.org/protobuf/encoding/protowire"

// The numbers of fields, from generated.proto of k8s.io/api and
// k8s.io/apimachinery.
const (
	metadata, spec, status protowire.Number = 1, 2, 3 // of each kind below

	metaName, metaNamespace, metaUID, metaResourceVersion protowire.Number = 1, 3, 5, 6
	metaDeletionTimestamp, metaOwnerReferences            protowire.Number = 9, 13
	metaFinalizers, metaManagedFields                     protowire.Number = 14, 17

	podVolumes, podHostname, podSubdomain protowire.Number = 1, 16, 17
	volumeName, volumeSource, sourceClaim protowire.Number = 1, 2, 10
	podPhase, claimConditions             protowire.Number = 1, 4
)

// unmanaged is for any kind but a claim, see cluster.StripManagedFields.
var unmanaged = allBut(listed{metadata: allBut(listed{metaManagedFields: nil})})

// kept are the fields that are left of a kind, by apiVersion and kind: those that
// [stayput.dev/cluster/cache.Strip] leaves and, of most, some more. Of a kind
// that is not listed, all are.
var kept = map[string]*fields{
	"v1 Pod": only(listed{
		metadata: only(listed{
			metaName: nil, metaNamespace: nil, metaUID: nil, metaResourceVersion: nil, metaDeletionTimestamp: nil, metaOwnerReferences: nil,
		}),
		spec: only(listed{
			podHostname: nil, podSubdomain: nil,
			podVolumes: only(listed{volumeName: nil, volumeSource: only(listed{sourceClaim: nil})}),
		}),
		status: only(listed{podPhase: nil}),
	}),
	"v1 Node":    allBut(listed{metadata: allBut(listed{metaManagedFields: nil}), status: nil}),
	"v1 Service": unmanaged,
	"v1 PersistentVolumeClaim": allBut(listed{
		metadata: allBut(listed{metaFinalizers: nil}), status: allBut(listed{claimConditions: nil}),
	}),
	"v1 PersistentVolume": allBut(listed{metadata: allBut(listed{metaFinalizers: nil, metaManagedFields: nil})}),
	"apps/v1 StatefulSet": unmanaged,
	"apps/v1 Deployment":  allBut(listed{metadata: allBut(listed{metaManagedFields: nil}), status: nil}),
}
