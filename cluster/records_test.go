package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRecords reads what is written, and nothing else.
func TestRecords(t *testing.T) {
	for _, r := range []ClaimRecord{
		{StatefulSet: "db", Template: "data"}, {StatefulSet: "a.b-c", Template: "d-e", Ordinal: 1<<31 - 1},
		{StatefulSet: "db", Mounted: "data"},
	} {
		if got, ok := ParseClaimRecord(r.String()); !ok || got != r {
			t.Errorf("%s became %s, %t", r, got, ok)
		}
	}
	for _, value := range []string{
		"", "db", "db/", "db/data/x", "db/data/00", "db/data/-1", "db/data/2147483648", "db/data/0/0",
		"/data/0", "db//0", "Db/data/0",
	} {
		if r, ok := ParseClaimRecord(value); ok {
			t.Errorf("%q became %s", value, r)
		}
	}
	for _, policy := range []corev1.PersistentVolumeReclaimPolicy{
		corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimDelete,
	} {
		for _, from := range []Decider{FromVolume, FromClaim, FromNamespace, FromConfiguration} {
			r := Reclaim{policy, from}
			if got, ok := ParseMark(r.Mark()); !ok || got != r {
				t.Errorf("%s became %v, %t", r.Mark(), got, ok)
			}
		}
	}
	for _, value := range []string{"", "Retain", "Retain/", "Retain/the claim", "Recycle/claim", "/claim"} {
		if r, ok := ParseMark(value); ok {
			t.Errorf("%q became %v", value, r)
		}
	}
}

// TestRecordOf believes a record only where it fits the claimRef.
func TestRecordOf(t *testing.T) {
	for record, fits := range map[string]bool{
		"db/data/0": true, "db/data/1": false, "db/data": false, "": false, "data/db/x": false,
	} {
		pv := &corev1.PersistentVolume{}
		metav1.SetMetaDataAnnotation(&pv.ObjectMeta, AnnotationClaimOf, record)
		if _, ok := RecordOf(pv); ok {
			t.Errorf("%q: believed without a claimRef", record)
		}
		pv.Spec.ClaimRef = &corev1.ObjectReference{Name: "data-db-0"}
		if r, ok := RecordOf(pv); ok != fits {
			t.Errorf("%q: %v, %t", record, r, ok)
		}
	}
}
