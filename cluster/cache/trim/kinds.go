package trim

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"stayput.dev/cluster"
)

// The numbers of fields, from generated.proto of k8s.io/api and
// k8s.io/apimachinery.
const (
	metadata, spec, status protowire.Number = 1, 2, 3 // of each kind below

	metaName, metaNamespace, metaUID, metaResourceVersion protowire.Number = 1, 3, 5, 6
	metaDeletionTimestamp, metaOwnerReferences            protowire.Number = 9, 13
	metaFinalizers, metaManagedFields                     protowire.Number = 14, 17

	podVolumes, podHostname, podSubdomain protowire.Number = 1, 16, 17
	volumeName, volumeSource              protowire.Number = 1, 2
	sourceClaim, sourceEphemeral          protowire.Number = 10, 29
	podPhase, claimConditions             protowire.Number = 1, 4
	conditionType, conditionStatus        protowire.Number = 1, 2
	conditionTransition                   protowire.Number = 4

	cronJobTemplate, jobTemplate, jobConditions protowire.Number = 5, 6, 1
)

// unmanaged is for any kind but a claim, see cluster.StripManagedFields.
var unmanaged = allBut(listed{metadata: allBut(listed{metaManagedFields: nil})})

// kept returns the fields that are kept of a kind, by apiVersion and kind:
// those that [stayput.dev/cluster/cache.Strip] keeps and, for most kinds, some
// more. For a kind that is not in [cluster.Kinds], it is nil, and all fields
// are kept.
func kept(apiVersionKind string) *fields { return fieldsOf()[apiVersionKind] }

var fieldsOf = sync.OnceValue(func() map[string]*fields {
	all := map[string]*fields{}
	for _, kind := range cluster.Kinds {
		apiVersion, name := kind.GVK().ToAPIVersionAndKind()
		all[apiVersion+" "+name] = unmanaged
	}
	for name, fields := range special {
		all[name] = fields
	}
	return all
})

// claimed is a template of Pods of which only the claims are kept, and jobSpec that
// of a Job.
var (
	claimed = only(listed{spec: only(listed{podVolumes: only(listed{volumeSource: only(listed{sourceClaim: nil})})})})
	jobSpec = only(listed{jobTemplate: claimed})
)

// identity is what tells which object it is, and whether it goes.
func identity(more ...protowire.Number) *fields {
	kept := listed{metaName: nil, metaNamespace: nil, metaUID: nil, metaResourceVersion: nil, metaDeletionTimestamp: nil}
	for _, number := range more {
		kept[number] = nil
	}
	return only(kept)
}

// special are the kinds for which more than the managed fields is removed, and
// claims, which keep their managed fields.
var special = map[string]*fields{
	"v1 Pod": only(listed{
		metadata: identity(metaOwnerReferences),
		spec: only(listed{
			podHostname: nil, podSubdomain: nil,
			podVolumes: only(listed{volumeName: nil, volumeSource: only(listed{sourceClaim: nil, sourceEphemeral: nil})}),
		}),
		status: only(listed{podPhase: nil}),
	}),
	"batch/v1 CronJob": only(listed{metadata: identity(),
		spec: only(listed{cronJobTemplate: only(listed{spec: jobSpec})})}),
	"batch/v1 Job": only(listed{metadata: identity(metaOwnerReferences), spec: jobSpec,
		status: only(listed{jobConditions: only(listed{conditionType: nil, conditionStatus: nil})})}),
	"v1 Node": allBut(listed{metadata: allBut(listed{metaManagedFields: nil}), status: nil}),
	"v1 PersistentVolumeClaim": allBut(listed{
		metadata: allBut(listed{metaFinalizers: nil}), status: allBut(listed{
			claimConditions: only(listed{conditionType: nil, conditionStatus: nil, conditionTransition: nil}),
		}),
	}),
	"v1 PersistentVolume": allBut(listed{metadata: allBut(listed{metaFinalizers: nil, metaManagedFields: nil})}),
	"apps/v1 Deployment":  allBut(listed{metadata: allBut(listed{metaManagedFields: nil}), status: nil}),
}
