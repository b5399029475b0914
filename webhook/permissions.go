package webhook

import (
	"cmp"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DefaultSecret is the Secret that holds the CA if Stayput makes its own
// certificates.
const DefaultSecret = "stayput-ca"

// configurationRule lets Stayput read the CA that the API server trusts, and
// write the caBundle, in its own two configurations.
func (d Deployment) configurationRule() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		APIGroups:     []string{admissionv1.GroupName},
		Resources:     []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"},
		ResourceNames: []string{cmp.Or(d.Name, "stayput")},
		Verbs:         []string{"get", "watch", "patch"},
	}
}

// SecretRole returns the permissions for the one Secret that holds the CA, in
// Stayput's own namespace. Its creation can be limited to a name, too, because
// it is an apply.
func (d Deployment) SecretRole(secret string) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: cmp.Or(d.Name, "stayput") + "-certificates",
			Labels: map[string]string{"app.kubernetes.io/name": "stayput"}},
		Rules: []rbacv1.PolicyRule{{
			APIGroups:     []string{""},
			Resources:     []string{"secrets"},
			ResourceNames: []string{cmp.Or(secret, DefaultSecret)},
			Verbs:         []string{"get", "watch", "create", "update", "patch"},
		}},
	}
}
