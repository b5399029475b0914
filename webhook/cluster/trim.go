package cluster

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"

	"stayput.dev/webhook/cluster/trim"
)

// Trim returns a transport under which the watches of the caches leave out most
// of what [Strip] removes, and nothing else: to decode it takes most of the time.
func Trim(next http.RoundTripper) http.RoundTripper {
	return trim.Transport(next, func(apiVersion, kind string) *trim.Fields { return trimmed[apiVersion+" "+kind] })
}

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

type fields = map[protowire.Number]*trim.Fields

// unmanaged is for any kind but a claim, see [StripManagedFields].
var unmanaged = trim.AllBut(fields{metadata: trim.AllBut(fields{metaManagedFields: nil})})

// trimmed are what is kept of the kinds that Strip knows and of Services, of which
// there are many.
var trimmed = map[string]*trim.Fields{
	"v1 Pod": trim.Only(fields{
		metadata: trim.Only(fields{
			metaName: nil, metaNamespace: nil, metaUID: nil, metaResourceVersion: nil, metaDeletionTimestamp: nil, metaOwnerReferences: nil,
		}),
		spec: trim.Only(fields{
			podHostname: nil, podSubdomain: nil,
			podVolumes: trim.Only(fields{volumeName: nil, volumeSource: trim.Only(fields{sourceClaim: nil})}),
		}),
		status: trim.Only(fields{podPhase: nil}),
	}),
	"v1 Node":    trim.AllBut(fields{metadata: trim.AllBut(fields{metaManagedFields: nil}), status: nil}),
	"v1 Service": unmanaged,
	"v1 PersistentVolumeClaim": trim.AllBut(fields{
		metadata: trim.AllBut(fields{metaFinalizers: nil}), status: trim.AllBut(fields{claimConditions: nil}),
	}),
	"v1 PersistentVolume": trim.AllBut(fields{metadata: trim.AllBut(fields{metaFinalizers: nil, metaManagedFields: nil})}),
	"apps/v1 StatefulSet": unmanaged,
	"apps/v1 Deployment":  trim.AllBut(fields{metadata: trim.AllBut(fields{metaManagedFields: nil}), status: nil}),
}
