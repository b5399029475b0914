package webhook

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/bench/paper"
	"stayput.dev/cluster"
	"stayput.dev/cluster/cache"
)

// TestJobsWarnOfTheirClaims deletes a claim that nothing mounts, and then one that a
// CronJob and a Job do, as the caches hold these.
func TestJobsWarnOfTheirClaims(t *testing.T) {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{
		Name: "pvc-35bc6d41-6495-4142-9fab-c4ba39", // the command stays, whatever it takes of the names
	}}
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "team-0000", Name: "backups", UID: "c-1"}
	pvc := &corev1.PersistentVolumeClaim{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}}
	pvc.Namespace, pvc.Name, pvc.UID = "team-0000", "backups", "c-1"
	pvc.Spec.VolumeName, pvc.Status.Phase = pv.Name, corev1.ClaimBound
	body, err := json.Marshal(pvc)
	if err != nil {
		t.Fatal(err)
	}
	for users, want := range map[int][]string{
		0: nil,
		1: {"claim-in-use: metadata.name: Forbidden: is mounted by CronJob nightly-backup-00000 and 1 more; " +
			"its disk is destroyed with it; fix: first kubectl patch pv " + pv.Name + " -p " +
			`'{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`},
	} {
		objs := []cluster.Object{pv, pvc, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-0000"}}}
		for _, obj := range paper.Jobs(users, 1) {
			stripped, err := cache.Strip(obj)
			if err != nil {
				t.Fatal(err)
			}
			objs = append(objs, stripped.(cluster.Object))
		}
		answer := post(t, newWebhook(t, objs...).Handler(), ValidatePath, review(`"kind":{"group":"","version":"v1",`+
			`"kind":"PersistentVolumeClaim"},"resource":{"group":"","version":"v1","resource":"persistentvolumeclaims"},`+
			`"namespace":"team-0000","name":"backups","operation":"DELETE","userInfo":{"username":"jane"},`+
			`"object":null,"oldObject":`+string(body)))
		var got admissionv1.AdmissionReview
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || got.Response == nil {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
		if diff := cmp.Diff(want, got.Response.Warnings); diff != "" || !got.Response.Allowed {
			t.Errorf("%d users: %v (-want +got):\n%s", users, got.Response.Result, diff)
		}
	}
}
