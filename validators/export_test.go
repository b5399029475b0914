package validators

import "reflect"

// Same says whether two pointers to one type lead to what means the same.
func Same(a, b any) bool { return same(reflect.ValueOf(a), reflect.ValueOf(b)) }
