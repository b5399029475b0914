package serve

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"

	"stayput.dev/cluster"
	"stayput.dev/internal/cli"
	"stayput.dev/internal/kubeconfig"
)

// probeRule is the rule that the probe offends.
const probeRule = "stayput-annotation"

// ProbeCommand returns the command that asks whether admission works.
func ProbeCommand() *cobra.Command {
	var file, namespace string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Ask the API server whether it asks Stayput",
		Long: `Create, by dry run, a claim that offends a rule: nothing is stored. The API
server must answer with Stayput's denial or, in mode warn, its warning.

Exit code 0: it does, within the time given. 2: it does not.`,
		Example: `  stayput probe --kubeconfig ~/.kube/config --namespace default`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return probe(ctx, file, namespace, cmd.OutOrStdout())
		},
	}
	cli.RegisterKubeconfig(cmd.Flags(), &file)
	cmd.Flags().StringVar(&namespace, "namespace", "default", "namespace to create the claim in")
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to go on asking")
	return cmd
}

// probe repeats its request until Stayput answers, because the API server calls
// a new webhook only after a moment.
func probe(ctx context.Context, file, namespace string, out io.Writer) error {
	config, err := kubeconfig.Connection(file, "")
	if err != nil {
		return err
	}
	var heard warnings
	config.WarningHandler = &heard
	client, err := coreclient.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("prepare to ask the API server: %w", err)
	}
	for {
		answer, err := offend(ctx, client, namespace, &heard)
		if err == nil {
			fmt.Fprintln(out, answer)
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// offend returns Stayput's answer to a claim that violates a rule, or that
// there was none.
func offend(ctx context.Context, client coreclient.PersistentVolumeClaimsGetter, namespace string,
	heard *warnings) (string, error) {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "stayput-probe-",
			Annotations:  map[string]string{cluster.AnnotationReclaim: "Recycle"},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		},
	}
	_, err := client.PersistentVolumeClaims(namespace).Create(ctx, claim,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	texts := heard.take()
	switch i := slices.IndexFunc(texts, func(s string) bool { return strings.Contains(s, probeRule) }); {
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), probeRule):
		return "denied, as it must be: " + err.Error(), nil
	case err != nil:
		return "", fmt.Errorf("create a claim in namespace %s by dry run: %w", namespace, err)
	case i >= 0:
		return "warned, as in mode warn: " + texts[i], nil
	}
	return "", fmt.Errorf("the API server lets an offending claim pass in namespace %s: is that excluded, or in mode "+
		"off, or is no replica ready?", namespace)
}

// warnings collects the API server's warnings.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(code int, _, text string) {
	if code != 299 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}
