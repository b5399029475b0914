package packed

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// TestListThatStalls has a list of which nothing comes: it is given up, with an
// error that says so.
func TestListThatStalls(t *testing.T) {
	l := &listing{
		ListerWatcher: &cache.ListWatch{ListWithContextFunc: func(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		store:    newStore(&corev1.Pod{}, nil, nil),
		patience: 10 * time.Millisecond,
	}
	list, err := l.ListWithContext(t.Context(), metav1.ListOptions{})
	if want := "nothing has come of a list for 10ms"; err == nil || err.Error() != want {
		t.Errorf("%v, %v; want %q", list, err, want)
	}
}
