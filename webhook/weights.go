package webhook

import "bytes"

// costlyWeight is how many values one value in a costly list counts as.
const costlyWeight = 8

// costly says whether a key holds a list or a map with entries that take ten
// times as long as other values: quantities to decode and copy, claim templates
// to review.
func costly(key string) bool {
	switch key {
	case "requests", "limits", "capacity", "allocatable", "allocatedResources", "overhead", "hard", "used",
		"volumeClaimTemplates":
		return true
	}
	return false
}

// mayBeCostly is costly for a key as it is written in JSON: with an escape, it
// could be any key.
func mayBeCostly(key []byte) bool { return costly(string(key)) || bytes.Contains(key, []byte(`\u`)) }

// free says whether a key holds what no type decodes: the schemas of a
// CustomResourceDefinition, which may have more values than any other object has.
func free(key string) bool { return key == "openAPIV3Schema" }
