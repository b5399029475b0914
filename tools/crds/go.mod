// The modules whose CustomResourceDefinitions the tests of deploy apply.
module stayput.dev/tools/crds

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0 // indirect
