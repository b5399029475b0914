// Package jsonscan finds the ends of values in unknown JSON without validating
// it. It is for checks that run before the document is decoded.
package jsonscan

import "bytes"

// StringEnd returns the index of the quote that ends the string whose text begins
// at i, or len(data). It does not validate.
func StringEnd(data []byte, i int) int {
	if i > len(data) {
		return len(data)
	}
	n := bytes.IndexByte(data[i:], '"')
	if n < 0 {
		return len(data)
	}
	escape := bytes.IndexByte(data[i:i+n], '\\')
	if escape < 0 {
		return i + n
	}
	for i += escape; i < len(data); i++ {
		switch data[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return len(data)
}

// SpaceEnd returns the index behind the white space that begins at i.
func SpaceEnd(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// ValueEnd returns the index behind the value that begins at i: that of the
// comma, brace or bracket that follows it, or len(data).
func ValueEnd(data []byte, i int) int {
	for depth := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			if i = StringEnd(data, i+1); depth == 0 {
				return min(i+1, len(data))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(data)
}
