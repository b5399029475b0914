package wire

import (
	"strings"
	"unsafe"

	"k8s.io/apimachinery/pkg/api/resource"
)

// decodeQuantity takes what stands between the quotes as it is: so does
// [resource.Quantity.UnmarshalJSON].
func decodeQuantity(d *decoder, i int, into unsafe.Pointer) int {
	if d.at(i) == 'n' {
		return d.null(i)
	}
	end := d.skip(i)
	if end < 0 {
		return -1
	}
	text := d.text[i:end]
	if text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	if HeavyQuantity(text) {
		return -1
	}
	q, err := resource.ParseQuantity(strings.TrimSpace(text))
	if err != nil {
		return -1
	}
	*(*resource.Quantity)(into) = q
	return end
}

// How large a quantity is at most that does not count as heavy. The largest that
// Kubernetes has a use for is 2^63.
const (
	mostDigits         = 100
	mostExponentDigits = 3
)

// HeavyQuantity says whether it could take long to read a text as a quantity, or
// to compare with what was read: in apimachinery 0.37 1e-2147483647 takes
// gigabytes, and a million digits take seconds. See
// https://github.com/kubernetes/kubernetes/pull/141306.
func HeavyQuantity[T string | []byte](text T) bool {
	i := 0
	for i < len(text) && (text[i] <= ' ' || text[i] >= 0x80) { // white space
		i++
	}
	digits := i
	for i < len(text) && ('0' <= text[i] && text[i] <= '9' || text[i] == '.' || text[i] == '+' || text[i] == '-') {
		i++
	}
	if i == digits {
		return false // no quantity
	}
	if i-digits > mostDigits {
		return true
	}
	if i == len(text) || text[i] != 'e' && text[i] != 'E' {
		return false
	}
	for i++; i < len(text) && (text[i] == '+' || text[i] == '-' || text[i] == '0'); i++ {
	}
	exponent := i
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	return i-exponent > mostExponentDigits
}
