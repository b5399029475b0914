package e2e

import (
	"context"
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stayput.dev/cluster"
)

// newClient returns a client of the cluster for a user name, or for the
// administrator. It adds warnings to the context's [answer].
func newClient(t *testing.T, config *rest.Config, as string, groups ...string) client.Client {
	t.Helper()
	config = rest.CopyConfig(config)
	config.WarningHandlerWithContext = recorder{}
	if as != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: as, Groups: append(groups, "system:masters")}
	}
	c, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An answer is what the API server says about one request.
type answer struct {
	warnings []string
	err      error
}

type answerKey struct{}

// ask runs one request and returns its warnings beside its error.
func ask(ctx context.Context, request func(ctx context.Context) error) answer {
	var a answer
	a.err = request(context.WithValue(ctx, answerKey{}, &a))
	return a
}

// recorder hands a warning to the answer that waits for it.
type recorder struct{}

func (recorder) HandleWarningHeaderWithContext(ctx context.Context, code int, _ string, text string) {
	if a, ok := ctx.Value(answerKey{}).(*answer); ok && code == 299 {
		a.warnings = append(a.warnings, text)
	}
}

// causes returns the findings of a denial.
func (a answer) causes() (causes []metav1.StatusCause) {
	var status apierrors.APIStatus
	if errors.As(a.err, &status) && apierrors.IsForbidden(a.err) && status.Status().Details != nil {
		return status.Status().Details.Causes
	}
	return nil
}

// createStatefulSet creates a small StatefulSet that names a Service, and
// returns the API server's warnings.
func createStatefulSet(t *testing.T, ns, service string) []string {
	t.Helper()
	sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: service}}
	sts.Spec.Replicas = new(int32) // fifty Pods keep a real node busy for minutes
	sts.Spec.ServiceName = service
	sts.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": service}}
	sts.Spec.Template.Labels = sts.Spec.Selector.MatchLabels
	sts.Spec.Template.Spec.Containers = []corev1.Container{{Name: "db", Image: "db"}}
	c := newClient(t, env.Cluster.Config(), "")
	a := ask(t.Context(), func(ctx context.Context) error { return c.Create(ctx, sts) })
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a.warnings
}
