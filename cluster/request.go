package cluster

import (
	"slices"
	"strings"
	"sync"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A Request is what the API server says about a request besides its objects.
// The zero value, which lint and audit use, has no caller.
type Request struct {
	UID    types.UID                 // of this request, always new
	User   authenticationv1.UserInfo // the caller
	DryRun bool                      // nothing will be stored
	Orphan bool                      // a deletion that leaves the dependents alone
}

const (
	kubeSystem        = "system:serviceaccount:kube-system:"
	controllerManager = "system:kube-controller-manager"
)

// Controllers are the service accounts in kube-system that
// kube-controller-manager's controllers use when each has its own
// (--use-service-account-credentials, as kubeadm sets it). They finish what
// somebody else began, so nothing is denied to them. The horizontal-pod-autoscaler
// is not among them: it begins something itself, as kubectl scale does.
// Source: k8s.io/kubernetes@v1.37.1 cmd/kube-controller-manager/app.
func Controllers() []string {
	return []string{
		"attachdetach-controller", "cronjob-controller", "daemon-set-controller", "deployment-controller",
		"disruption-controller", "endpoint-controller", "endpointslice-controller", "ephemeral-volume-controller",
		"expand-controller", "generic-garbage-collector", "job-controller", "namespace-controller",
		"node-controller", "persistent-volume-binder", "pod-garbage-collector",
		"pv-protection-controller", "pvc-protection-controller", "replicaset-controller", "replication-controller",
		"resource-claim-controller", "service-account-controller", "service-controller", "statefulset-controller",
		"storage-version-migrator-controller", "ttl-after-finished-controller", "ttl-controller",
		"volumeattributesclass-protection-controller",
	}
}

// ControlPlaneUsers are the users of the control plane itself that are no
// service accounts.
func ControlPlaneUsers() []string {
	return []string{"system:apiserver", controllerManager, "system:kube-scheduler"}
}

// UsersOf are the user names by which the API server may know one of [Controllers]: its
// own, or that of kube-controller-manager, if its controllers have none.
func UsersOf(controller string) []string {
	return []string{kubeSystem + controller, controllerManager}
}

// NodesGroup is the group of all kubelets.
const NodesGroup = "system:nodes"

// ControllerUsers are the full user names of [Controllers] and
// [ControlPlaneUsers].
func ControllerUsers() []string {
	users := ControlPlaneUsers()
	for _, name := range Controllers() {
		users = append(users, kubeSystem+name)
	}
	return users
}

// ByController says whether the caller is one of Kubernetes' own controllers or
// a kubelet.
func (r Request) ByController() bool {
	return controllerUsers()[r.User.Username] || slices.Contains(r.User.Groups, NodesGroup)
}

// controllerUsers is the set of [ControllerUsers]. Every request needs it.
var controllerUsers = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for _, name := range ControllerUsers() {
		set[name] = true
	}
	return set
})

// ByPerson says whether the caller may be a person, who reads the answer:
// neither a controller of Kubernetes nor a service account.
func (r Request) ByPerson() bool { return !r.ByController() && !r.ofServiceAccount() }

// ByServiceAccount says whether the caller is a service account other than
// those of Kubernetes' own controllers: an operator, a tool that applies what
// is in a repository, or anything else that runs in a Pod.
func (r Request) ByServiceAccount() bool { return r.ofServiceAccount() && !r.ByController() }

func (r Request) ofServiceAccount() bool {
	return strings.HasPrefix(r.User.Username, "system:serviceaccount:")
}

// AtAdmission says whether there is a caller: lint and audit review objects
// without a request.
func (r Request) AtAdmission() bool { return r.User.Username != "" }
