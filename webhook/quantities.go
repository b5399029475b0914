package webhook

import (
	"errors"

	"stayput.dev/webhook/wire"
)

// errHeavy says that JSON holds what could take a quantity hours to read. The
// decoder of package wire leaves such to others, which would try.
var errHeavy = errors.New("a number has more than 100 digits, or more than 3 in its exponent")

// checkQuantities looks at every string and every number, for it does not know
// which are quantities. It does not validate.
func checkQuantities(data []byte) error {
	for i := 0; i < len(data); i++ {
		from := i
		switch c := data[i]; {
		case c == '"':
			from++
			i = stringEnd(data, from)
		case c == '-' || '0' <= c && c <= '9':
			for i < len(data) && isNumber(data[i]) {
				i++
			}
		default:
			continue
		}
		if wire.HeavyQuantity(data[from:i]) {
			return errHeavy
		}
	}
	return nil
}

// isNumber says whether a byte may be in a number.
func isNumber(c byte) bool {
	return '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}
