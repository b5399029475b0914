package wire

import "unicode/utf8"

// skip moves over a value, which it validates but for the strings' UTF-8: as
// in sigs.k8s.io/json, that only counts where a string is decoded.
func (d *decoder) skip() bool {
	end := d.skipFrom(d.space(d.pos))
	if end < 0 {
		return false
	}
	d.pos = end
	return true
}

// skipFrom returns where the value that begins at i ends, or -1. The objects of
// a review go through it before anybody knows what they are: it and what it
// calls keep the place as an argument, not in the decoder, for that is faster.
func (d *decoder) skipFrom(i int) int {
	if i >= d.stop {
		return -1
	}
	switch d.data[i] {
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
		return d.wordEnd(i, "null")
	}
	return d.numberEnd(i)
}

// objectEnd returns where an object ends whose brace is before i, or -1.
func (d *decoder) objectEnd(i int) int {
	i, more := d.first(i, '}')
	for more {
		if i >= d.stop || d.data[i] != '"' {
			return -1
		}
		key := i + 1
		if i = d.stringEnd(key); i < 0 {
			return -1
		}
		costly := d.costly != nil && d.extra == 0 && d.costly(d.data[key:i-1])
		if costly {
			d.extra = d.budget.Weight - 1
		}
		if i = d.space(i); i >= d.stop || d.data[i] != ':' {
			return -1
		}
		if i = d.skipFrom(d.space(i + 1)); i < 0 {
			return -1
		}
		if costly {
			d.extra = 0
		}
		i, more = d.next(i, '}')
	}
	return i
}

// arrayEnd returns where an array ends whose bracket is before i, or -1.
func (d *decoder) arrayEnd(i int) int {
	i, more := d.first(i, ']')
	for more {
		if i = d.skipFrom(i); i < 0 {
			return -1
		}
		i, more = d.next(i, ']')
	}
	return i
}

// first returns where the first element begins of an object or an array that was
// opened before i, or, if there is none, where that ends, or -1.
func (d *decoder) first(i int, end byte) (at int, more bool) {
	if !d.open() {
		return -1, false
	}
	if i = d.space(i); i < d.stop && d.data[i] == end {
		d.depth--
		return i + 1, false
	}
	return i, true
}

// next returns where the element after one that ended at i begins, or, if there
// are no more, where the object or the array ends, or -1.
func (d *decoder) next(i int, end byte) (at int, more bool) {
	if i = d.space(i); i >= d.stop {
		return -1, false
	}
	switch d.data[i] {
	case ',':
		if d.values += 1 + d.extra; d.values > d.budget.Values {
			return -1, false
		}
		return d.space(i + 1), true
	case end:
		d.depth--
		return i + 1, false
	}
	return -1, false
}

// stringEnd returns where a string ends whose first quote is before i, or -1.
// Its escapes are valid.
func (d *decoder) stringEnd(i int) int {
	if i = d.plain(i); i < d.stop && d.data[i] == '"' {
		return i + 1
	}
	return d.richEnd(i)
}

// richEnd is stringEnd for a string that holds escapes, or more than ASCII.
func (d *decoder) richEnd(i int) int {
	for i < d.stop {
		switch c := d.data[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			n := escapeLen(d.data[i+1 : d.stop])
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

// wordEnd returns where a word ends that begins at i, or -1.
func (d *decoder) wordEnd(i int, word string) int {
	if end := i + len(word); end <= d.stop && string(d.data[i:end]) == word {
		return end
	}
	return -1
}

// numberEnd returns where a number ends that begins at i, or -1.
func (d *decoder) numberEnd(i int) int {
	if i < d.stop && d.data[i] == '-' {
		i++
	}
	first := i
	if i = d.digitsEnd(i); i == first || i > first+1 && d.data[first] == '0' {
		return -1
	}
	if i < d.stop && d.data[i] == '.' {
		first = i + 1
		if i = d.digitsEnd(first); i == first {
			return -1
		}
	}
	if i < d.stop && (d.data[i] == 'e' || d.data[i] == 'E') {
		i++
		if i < d.stop && (d.data[i] == '+' || d.data[i] == '-') {
			i++
		}
		first = i
		if i = d.digitsEnd(i); i == first {
			return -1
		}
	}
	return i
}

// digitsEnd returns where the digits end that begin at i.
func (d *decoder) digitsEnd(i int) int {
	for i < d.stop && '0' <= d.data[i] && d.data[i] <= '9' {
		i++
	}
	return i
}
