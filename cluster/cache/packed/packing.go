package packed

import (
	"encoding/binary"
	"sync"
)

// A packing holds the bytes of an object, without those that they share with a
// base: the Pods of a StatefulSet differ in names, UIDs and little else. It is
// comparable, and equal packings are of equal bytes.
//
// The base is the bytes of an object that was packed before. It stays in memory as
// long as a packing needs it, also when its object has gone: at worst, if a single
// one of its packings is left, that one takes one and a half times its bytes.
type packing struct {
	text string  // the difference to the base; without a base the bytes themselves
	base *string // or nil
}

// none says whether nothing is packed.
func (p packing) none() bool { return p.text == "" }

// unpack returns the bytes, which are in a buffer: in the given one if there is room,
// and else in another. What the buffer held is lost.
//
// The difference is a sequence of steps, each of the number of new bytes, these bytes,
// and, unless it ends there, a copy of earlier ones. Earlier are the base and all that
// is unpacked. Of a copy is given its length beyond the least, doubled, and 1 more
// if it is from another distance than the copy before, which follows.
func (p packing) unpack(buffer []byte) (used, bytes []byte) {
	if p.base == nil {
		buffer = append(buffer[:0], p.text...)
		return buffer, buffer
	}
	buffer = append(buffer[:0], *p.base...)
	distance := len(*p.base)
	for rest := p.text; rest != ""; {
		var n int
		n, rest = number(rest)
		buffer, rest = append(buffer, rest[:n]...), rest[n:]
		if rest == "" {
			break
		}
		n, rest = number(rest)
		if n&1 != 0 {
			distance, rest = number(rest)
		}
		n = n>>1 + leastCopy
		for n > 0 { // a copy may overlap with what it makes
			from := len(buffer) - distance
			some := min(n, distance)
			buffer = append(buffer, buffer[from:from+some]...)
			n -= some
		}
	}
	return buffer, buffer[len(*p.base):]
}

// number reads a number, which is small, and returns what follows it.
func number(text string) (n int, rest string) {
	for i, shift := 0, 0; ; i, shift = i+1, shift+7 {
		n |= int(text[i]&0x7f) << shift
		if text[i] < 0x80 {
			return n, text[i+1:]
		}
	}
}

const (
	leastCopy  = 4
	placeBits  = 11
	longestAll = 1<<16 - 1 // of base and bytes together, for places to be 16 bits
)

// A packer packs one object after another against the base that fitted last.
type packer struct {
	base   *string // nil at first
	places places  // of base
	all    []byte  // memory of pack: the base, and what is packed
	made   []byte  // the difference
}

// places are where four bytes were seen last, plus 1, by their hash.
type places [1 << placeBits]uint16

func (p *places) of(bytes []byte) *uint16 {
	return &p[binary.LittleEndian.Uint32(bytes)*0x9e3779b1>>(32-placeBits)]
}

// pack packs bytes. It tries the base of a packing that these replace, if there is one,
// and else the last. Bytes that share less than half with it become a base.
func (p *packer) pack(bytes []byte, replaced packing) packing {
	switch {
	case replaced.base != nil:
		p.use(replaced.base)
	case !replaced.none():
		p.use(&replaced.text)
	}
	if p.base != nil && len(*p.base)+len(bytes) <= longestAll {
		if p.subtract(bytes); len(p.made) <= len(bytes)/2 {
			return packing{string(p.made), p.base}
		}
	}
	text := string(bytes)
	p.use(&text)
	return packing{text: text}
}

// use changes the base.
func (p *packer) use(base *string) {
	if p.base != nil && (p.base == base || *p.base == *base) {
		return
	}
	p.base, p.places = base, places{}
	p.all = append(p.all[:0], *base...)
	if len(p.all) > longestAll {
		return
	}
	for i := 0; i+leastCopy <= len(p.all); i++ {
		*p.places.of(p.all[i:]) = uint16(i + 1)
	}
}

// subtract sets made to the difference of bytes to the base.
func (p *packer) subtract(bytes []byte) {
	seen, first := p.places, len(*p.base)
	all := append(p.all[:first], bytes...)
	made, done, distance := p.made[:0], first, first
	for i := first; i+leastCopy <= len(all); {
		from := i - distance
		if !begins(all[i:], all[from:]) {
			if from = int(*seen.of(all[i:])) - 1; from < 0 || !begins(all[i:], all[from:]) {
				*seen.of(all[i:]) = uint16(i + 1)
				i++
				continue
			}
		}
		for i > done && from > 0 && all[i-1] == all[from-1] {
			i, from = i-1, from-1
		}
		n := leastCopy
		for i+n < len(all) && all[i+n] == all[from+n] {
			n++
		}
		made = binary.AppendUvarint(made, uint64(i-done))
		made = append(made, all[done:i]...)
		if i-from == distance {
			made = binary.AppendUvarint(made, uint64(n-leastCopy)<<1)
		} else {
			distance = i - from
			made = binary.AppendUvarint(made, uint64(n-leastCopy)<<1|1)
			made = binary.AppendUvarint(made, uint64(distance))
		}
		for end := i + n; i < end; i++ {
			if i+leastCopy <= len(all) {
				*seen.of(all[i:]) = uint16(i + 1)
			}
		}
		done = i
	}
	if done < len(all) {
		made = binary.AppendUvarint(made, uint64(len(all)-done))
		made = append(made, all[done:]...)
	}
	p.all, p.made = all, made
}

// begins says whether bytes begin with the first few of others.
func begins(bytes, others []byte) bool {
	return binary.LittleEndian.Uint32(bytes) == binary.LittleEndian.Uint32(others)
}

// buffers are for bytes that are unpacked for a moment.
var buffers = sync.Pool{New: func() any { return new([]byte) }}
