package fastjson

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

func decodeString(d *decoder, i int, into unsafe.Pointer) int {
	if d.at(i) != '"' {
		return d.null(i)
	}
	text, end := d.string(i)
	if end >= 0 {
		*(*string)(into) = text
	}
	return end
}

func decodeBool(d *decoder, i int, into unsafe.Pointer) int {
	switch d.at(i) {
	case 't':
		*(*bool)(into) = true
		return d.wordEnd(i, "true")
	case 'f':
		return d.wordEnd(i, "false")
	}
	return d.null(i)
}

func decodeInt32(d *decoder, i int, into unsafe.Pointer) int {
	if d.at(i) == 'n' {
		return d.null(i)
	}
	n, end := d.integer(i, 32)
	*(*int32)(into) = int32(n)
	return end
}

func decodeInt64(d *decoder, i int, into unsafe.Pointer) int {
	if d.at(i) == 'n' {
		return d.null(i)
	}
	n, end := d.integer(i, 64)
	*(*int64)(into) = n
	return end
}

// plain returns the index of the first byte of a string, from i on, that does not
// stand for itself: a quote, a backslash, a control character or a byte that is
// not ASCII. It looks at eight bytes at a time.
func (d *decoder) plain(i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(d.data); i += 8 {
		x := binary.LittleEndian.Uint64(d.data[i:])
		quote, backslash := x^'"'*ones, x^'\\'*ones
		// In each term the lowest byte whose high bit is set is one of these
		// bytes; a borrow may have set the high bit of bytes above it.
		found := (x | (x-' '*ones)&^x | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(d.data) && ' ' <= d.data[i] && d.data[i] < utf8.RuneSelf && d.data[i] != '"' && d.data[i] != '\\' {
		i++
	}
	return i
}

// string reads the string at i.
func (d *decoder) string(i int) (text string, end int) {
	start := i + 1
	if i = d.plain(start); d.at(i) == '"' {
		return d.text[start:i], i + 1
	}
	if end = d.richEnd(i); end < 0 {
		return "", -1
	}
	text, ok := unescape(d.text[start : end-1])
	if !ok {
		return "", -1
	}
	return text, end
}

// unescape returns the value of a string with valid escapes. It returns false for
// invalid UTF-8 and surrogate pairs.
func unescape(raw string) (string, bool) {
	if !utf8.ValidString(raw) {
		return "", false
	}
	i := strings.IndexByte(raw, '\\')
	if i < 0 {
		return raw, true
	}
	out := append(make([]byte, 0, len(raw)), raw[:i]...)
	for i < len(raw) {
		c := raw[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		switch c = raw[i+1]; c {
		case 'u':
			n, err := strconv.ParseUint(raw[i+2:i+6], 16, 16)
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
		i += 2
	}
	return string(out), true
}

// escapeLen returns the length in bytes of the escape at the beginning of text,
// which follows a backslash. It returns 0 if the escape is not valid.
func escapeLen(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	switch text[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(text) >= 5 && isHex[text[1]] && isHex[text[2]] && isHex[text[3]] && isHex[text[4]] {
			return 5
		}
	}
	return 0
}

// isHex is true for the bytes that are hexadecimal digits.
var isHex = func() (is [256]bool) {
	for _, c := range []byte("0123456789abcdefABCDEF") {
		is[c] = true
	}
	return is
}()

// integer reads a number without a fraction or an exponent, which must fit into
// the given number of bits.
func (d *decoder) integer(i, bits int) (n int64, end int) {
	if end = d.numberEnd(i); end < 0 {
		return 0, -1
	}
	n, err := strconv.ParseInt(d.text[i:end], 10, bits)
	if err != nil {
		return 0, -1
	}
	return n, end
}
