package wire

import (
	"strconv"
	"unicode/utf8"
)

// plain says which bytes stand for themselves in a string: all but quotes,
// backslashes, control characters, and what is not ASCII.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// string reads a string, whose quote is next.
func (d *decoder) string() (string, bool) {
	start := d.pos + 1
	i := start
	for i < d.stop && plain[d.text[i]] {
		i++
	}
	if i < d.stop && d.text[i] == '"' {
		d.pos = i + 1
		return d.text[start:i], true
	}
	d.pos = start - 1
	return d.richString()
}

// richString reads a string that holds escapes, or more than ASCII.
func (d *decoder) richString() (string, bool) {
	start := d.pos + 1
	if !d.skipString() {
		return "", false
	}
	raw := d.text[start : d.pos-1]
	if !utf8.ValidString(raw) {
		return "", false
	}
	return unescape(raw)
}

// unescape returns what a string with valid escapes stands for. It leaves
// surrogate pairs to others.
func unescape(raw string) (string, bool) {
	var out []byte
	start := 0
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if out == nil {
			out = make([]byte, 0, len(raw))
		}
		out = append(out, raw[start:i]...)
		i++
		switch c := raw[i]; c {
		case 'u':
			n, err := strconv.ParseUint(raw[i+1:i+5], 16, 16)
			if err != nil || 0xd800 <= n && n < 0xe000 {
				return "", false
			}
			out = utf8.AppendRune(out, rune(n))
			i += 4
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		default:
			out = append(out, c)
		}
		start = i + 1
	}
	if out == nil {
		return raw, true
	}
	return string(append(out, raw[start:]...)), true
}

// skipString moves over a string, whose quote is next. Its escapes are valid.
func (d *decoder) skipString() bool {
	for i := d.pos + 1; i < d.stop; i++ {
		c := d.text[i]
		switch {
		case plain[c] || c >= utf8.RuneSelf:
		case c == '"':
			d.pos = i + 1
			return true
		case c == '\\':
			n := escapeLen(d.text[i+1 : d.stop])
			if n == 0 {
				return false
			}
			i += n
		default:
			return false
		}
	}
	return false
}

// escapeLen returns how many bytes of text, which follows a backslash, are its
// escape's, 0 if it is none.
func escapeLen(text string) int {
	if text == "" {
		return 0
	}
	switch text[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(text) < 5 {
			return 0
		}
		for _, c := range []byte(text[1:5]) {
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return 0
			}
		}
		return 5
	}
	return 0
}

// integer reads a number that is written without a fraction or an exponent.
func (d *decoder) integer() (int64, bool) {
	d.space()
	start := d.pos
	if !d.skipNumber() {
		return 0, false
	}
	n, err := strconv.ParseInt(d.text[start:d.pos], 10, 64)
	return n, err == nil
}

// skipNumber moves over a number.
func (d *decoder) skipNumber() bool {
	if d.pos < d.stop && d.text[d.pos] == '-' {
		d.pos++
	}
	first := d.pos
	n := d.digits()
	if n == 0 || n > 1 && d.text[first] == '0' {
		return false
	}
	if d.pos < d.stop && d.text[d.pos] == '.' {
		d.pos++
		if d.digits() == 0 {
			return false
		}
	}
	if d.pos < d.stop && (d.text[d.pos] == 'e' || d.text[d.pos] == 'E') {
		d.pos++
		if d.pos < d.stop && (d.text[d.pos] == '+' || d.text[d.pos] == '-') {
			d.pos++
		}
		return d.digits() > 0
	}
	return true
}

// digits moves over digits and returns how many they were.
func (d *decoder) digits() int {
	start := d.pos
	for d.pos < d.stop && '0' <= d.text[d.pos] && d.text[d.pos] <= '9' {
		d.pos++
	}
	return d.pos - start
}
