package cluster

// Stayput's own labels and annotations. The rule stayput-annotation knows the
// values that each may have.
const (
	// LabelSubdomain on a Pod names the headless Service that is to give the
	// Pod a DNS name of its own.
	LabelSubdomain = "stayput.dev/subdomain"

	// LabelInject on a Namespace, with the value [InjectEnabled], does the same
	// for every Pod of it that exactly one headless Service selects. See
	// [Injected].
	LabelInject   = "stayput.dev/inject"
	InjectEnabled = "enabled"

	// LabelMode on a Namespace is off, warn or enforce.
	LabelMode = "stayput.dev/mode"

	// LabelProtect on a StatefulSet, a PersistentVolumeClaim (or the template of
	// one), a PersistentVolume or a Namespace, with the value [ProtectTrue], keeps it
	// from being deleted until the label is taken off.
	LabelProtect = "stayput.dev/protect"
	ProtectTrue  = "true"

	// AnnotationReclaim on a PersistentVolume, a PersistentVolumeClaim (or the
	// template of one) or a Namespace is Retain or Delete.
	AnnotationReclaim = "stayput.dev/reclaim-policy"

	// AnnotationClaimOf on a PersistentVolume records the claim that it was
	// provisioned for: <statefulset>/<template>/<ordinal>, or
	// <statefulset>/<claim> where the StatefulSet mounts it by its name. On a
	// claim, stayput recover writes the same.
	AnnotationClaimOf = "stayput.dev/claim-of"

	// AnnotationReclaimSet on a PersistentVolume records that Stayput has set
	// its reclaim policy, and who decided: <policy>/<decider>. Later changes of
	// the policy by others are kept until an annotation or the configuration
	// asks for something else.
	AnnotationReclaimSet = "stayput.dev/reclaim-policy-set"

	// AnnotationReclaimDefaulted on a StorageClass marks a reclaimPolicy that
	// its author left out and Stayput filled in.
	AnnotationReclaimDefaulted = "stayput.dev/reclaim-policy-defaulted"

	// ExemptPrefix before the name of a rule is the annotation that exempts an
	// object, or all objects of a Namespace, from the rule. The value is the
	// reason.
	ExemptPrefix = "exempt.stayput.dev/"
)

// Annotations of Kubernetes and its provisioners.
const (
	// AnnotationProvisionedBy on a PersistentVolume names the provisioner that
	// made it. Volumes made by hand have none.
	AnnotationProvisionedBy = "pv.kubernetes.io/provisioned-by"

	// AnnotationBindCompleted on a claim says that the controller has bound it.
	AnnotationBindCompleted = "pv.kubernetes.io/bind-completed"

	// AnnotationLastApplied holds the manifest as kubectl apply sent it last.
	AnnotationLastApplied = "kubectl.kubernetes.io/last-applied-configuration"

	// AnnotationMirror marks the API server's image of a static Pod.
	AnnotationMirror = "kubernetes.io/config.mirror"

	// AnnotationDefaultClass marks the default StorageClass.
	AnnotationDefaultClass = "storageclass.kubernetes.io/is-default-class"
)
