package validators

import (
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWaitingClass is about a cluster that has no class to offer, which the
// testdata, with its classes that wait, cannot be.
func TestWaitingClass(t *testing.T) {
	waits := storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "waits"}}
	for want, waiting := range map[string][]storagev1.StorageClass{
		"a class with volumeBindingMode: WaitForFirstConsumer (there are: waits)":                  {waits},
		"create a class like hasty with volumeBindingMode: WaitForFirstConsumer, and name it here": nil,
	} {
		if got := waitingClass("hasty", waiting); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
