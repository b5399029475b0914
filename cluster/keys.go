package cluster

// The labels and annotations by which people talk to Stayput, and Stayput to
// them. The rule stayput-annotation knows what each may hold.
const (
	// LabelSubdomain on a Pod names the headless Service that is to give the
	// Pod a DNS name of its own.
	LabelSubdomain = "stayput.dev/subdomain"

	// LabelInject on a Namespace, with the value [InjectEnabled], does so for every
	// Pod of it that exactly one headless Service selects. See [Injected].
	LabelInject   = "stayput.dev/inject"
	InjectEnabled = "enabled"

	// LabelMode on a Namespace is off, warn or enforce.
	LabelMode = "stayput.dev/mode"

	// AnnotationReclaim on a PersistentVolume, a PersistentVolumeClaim (or the
	// template of one) or a Namespace is Retain or Delete.
	AnnotationReclaim = "stayput.dev/reclaim-policy"

	// AnnotationClaimOf on a PersistentVolume records whose claim it was
	// provisioned for: <statefulset>/<template>/<ordinal>. On a claim that
	// stayput recover made again it says the same.
	AnnotationClaimOf = "stayput.dev/claim-of"

	// AnnotationReclaimSet on a PersistentVolume marks that Stayput has seen to
	// its reclaim policy, and whose word it was: <policy>/<who>. Who changes the
	// policy afterwards is honoured until somebody wants something else.
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

	// AnnotationLastApplied holds the manifest as kubectl apply sent it last.
	AnnotationLastApplied = "kubectl.kubernetes.io/last-applied-configuration"

	// AnnotationMirror marks the API server's image of a static Pod.
	AnnotationMirror = "kubernetes.io/config.mirror"

	// AnnotationDefaultClass marks the default StorageClass.
	AnnotationDefaultClass = "storageclass.kubernetes.io/is-default-class"
)
