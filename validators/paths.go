package validators

import "k8s.io/apimachinery/pkg/util/validation/field"

// Paths that many rules report at, or begin with. They are made once, because
// making a path takes memory in every request, reported or not. A path is never
// changed: Child, Index and Key return new ones.
var (
	metadataPath     = field.NewPath("metadata")
	namePath         = metadataPath.Child("name")
	specPath         = field.NewPath("spec")
	replicasPath     = specPath.Child("replicas")
	serviceNamePath  = specPath.Child("serviceName")
	templatesPath    = specPath.Child("volumeClaimTemplates")
	templateMetaPath = specPath.Child("template", "metadata")
	podSpecPath      = specPath.Child("template", "spec")
)
