// The modules whose CustomResourceDefinitions the tests of deploy and e2e apply.
module stayput.dev/tools/crds

go 1.26.0

require (
	github.com/kyverno/kyverno v1.13.4 // indirect
	github.com/prometheus-operator/prometheus-operator v0.85.0 // indirect
)
