package webhook

import "bytes"

// costlyWeight is how many values what stands in a costly list counts as.
const costlyWeight = 8

// costly says whether the value of a key may be a list, or a map, whose entries
// take ten times as long as other values: quantities to decode and copy, claim
// templates to review. A key in which a letter may stand as an escape could be
// any.
func costly(key []byte) bool {
	switch string(key) {
	case "requests", "limits", "capacity", "allocatable", "allocatedResources", "overhead", "hard", "used", "volumeClaimTemplates":
		return true
	}
	return bytes.IndexByte(key, '\\') >= 0 && bytes.Contains(key, []byte(`\u`))
}
