package fastjson

import "unicode/utf8"

// skip returns the index behind the value at i. It validates the value, except for
// the UTF-8 of strings: sigs.k8s.io/json, too, checks that only in strings that it
// decodes.
func (d *decoder) skip(i int) int {
	switch d.at(i) {
	case '"':
		return d.stringEnd(i + 1)
	case '{':
		return d.objectEnd(i + 1)
	case '[':
		return d.arrayEnd(i + 1)
	case 't':
		return d.wordEnd(i, "true")
	case 'f':
		return d.wordEnd(i, "false")
	case 'n':
		return d.null(i)
	}
	return d.numberEnd(i)
}

// objectEnd returns the index behind the object whose opening brace is before i.
func (d *decoder) objectEnd(i int) int {
	i, more := d.first(i, '}')
	for more {
		end, plain, value := d.rawKey(i)
		if value < 0 {
			return -1
		}
		weighs := d.opens(value) && d.weigh(i+1, end, plain)
		if i = d.skip(value); i < 0 {
			return -1
		}
		d.weighed(weighs)
		i, more = d.next(i, '}')
	}
	return i
}

// arrayEnd returns the index behind the array whose opening bracket is before i.
func (d *decoder) arrayEnd(i int) int {
	i, more := d.first(i, ']')
	for more {
		if i = d.skip(i); i < 0 {
			return -1
		}
		i, more = d.next(i, ']')
	}
	return i
}

// stringEnd returns the index behind the string whose opening quote is before i,
// or -1 if an escape in it is not valid.
func (d *decoder) stringEnd(i int) int {
	if i = d.plain(i); d.at(i) == '"' {
		return i + 1
	}
	return d.richEnd(i)
}

// richEnd is stringEnd for a string with escapes, or with bytes that are not ASCII.
func (d *decoder) richEnd(i int) int {
	for i < len(d.data) {
		switch c := d.data[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			n := escapeLen(d.data[i+1:])
			if n == 0 {
				return -1
			}
			i += 1 + n
		case c >= utf8.RuneSelf:
			i++
		case c < ' ':
			return -1
		default:
			i = d.plain(i)
		}
	}
	return -1
}

// null returns the index behind the null at i.
func (d *decoder) null(i int) int { return d.wordEnd(i, "null") }

// wordEnd returns the index behind the word at i.
func (d *decoder) wordEnd(i int, word string) int {
	if end := i + len(word); end <= len(d.data) && string(d.data[i:end]) == word {
		return end
	}
	return -1
}

// numberEnd returns the index behind the number at i.
func (d *decoder) numberEnd(i int) int {
	if d.at(i) == '-' {
		i++
	}
	first := i
	if i = d.digitsEnd(i); i == first || i > first+1 && d.data[first] == '0' {
		return -1
	}
	if d.at(i) == '.' {
		first = i + 1
		if i = d.digitsEnd(first); i == first {
			return -1
		}
	}
	if c := d.at(i); c == 'e' || c == 'E' {
		if i++; d.at(i) == '+' || d.at(i) == '-' {
			i++
		}
		first = i
		if i = d.digitsEnd(i); i == first {
			return -1
		}
	}
	return i
}

// digitsEnd returns the index behind the digits at i.
func (d *decoder) digitsEnd(i int) int {
	for i < len(d.data) && '0' <= d.data[i] && d.data[i] <= '9' {
		i++
	}
	return i
}
