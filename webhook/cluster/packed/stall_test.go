package packed

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// TestListThatStalls has a list of which nothing comes: it is given up, with an
// error that says so, and pages are asked for from then on. One that comes slowly
// is not given up.
func TestListThatStalls(t *testing.T) {
	hang := true
	var limits []int64
	l := &listing{
		store:    newStore(&corev1.Pod{}, nil, nobody{}),
		patience: 200 * time.Millisecond,
		ListerWatcher: &cache.ListWatch{ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			limits = append(limits, o.Limit)
			if hang {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &corev1.PodList{}, nil
		}},
	}
	list, err := l.ListWithContext(t.Context(), metav1.ListOptions{})
	if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "nothing has come of a list for 200ms: ") {
		t.Errorf("%v, %v", list, err)
	}
	hang = false
	if _, err := l.ListWithContext(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if len(limits) != 2 || limits[0] != 0 || limits[1] != pageSize {
		t.Errorf("limits: %d", limits)
	}
}

// nobody listens.
type nobody struct{}

func (nobody) set(_, _ Object, _ bool) {}
func (nobody) gone(any)                {}
