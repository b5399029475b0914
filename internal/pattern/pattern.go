// Package pattern compiles regular expressions when they are first used: nearly all
// runs of stayput use none of them, and would pay for all.
package pattern

import (
	"regexp"
	"sync"
)

// Lazy returns what returns an expression, which must be valid: where it is first
// used, it panics otherwise.
func Lazy(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
