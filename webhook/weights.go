package webhook

import "bytes"

// quantityWeight is how many values an entry of a resource list counts as. A
// quantity takes ten times as long to decode and to copy as another string.
const quantityWeight = 8

// quantities says whether the value of a key may be a resource list. A key in
// which a letter may stand as an escape could be any.
func quantities(key []byte) bool {
	switch string(key) {
	case "requests", "limits", "capacity", "allocatable", "allocatedResources", "overhead", "hard", "used":
		return true
	}
	return bytes.Contains(key, []byte(`\u`))
}
