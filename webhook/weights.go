package webhook

import "bytes"

// costlyWeight is how many values what stands in a costly list counts as.
const costlyWeight = 8

// costly says whether the value of a key is a list, or a map, whose entries
// take ten times as long as other values: quantities to decode and copy, claim
// templates to review.
func costly(key string) bool {
	switch key {
	case "requests", "limits", "capacity", "allocatable", "allocatedResources", "overhead", "hard", "used",
		"volumeClaimTemplates":
		return true
	}
	return false
}

// mayBeCostly says so of a key as it is written: where a letter may stand as an
// escape it could be any.
func mayBeCostly(key []byte) bool { return costly(string(key)) || bytes.Contains(key, []byte(`\u`)) }
