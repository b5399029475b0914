package trim

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// A listBody reads a list, which is encoded as Unknown behind a prefix: first
// the kind of the list, then the list itself. Its items are passed to a
// function.
type listBody struct {
	io.Closer
	in   *bufio.Reader
	read int64 // bytes of it
	take func(item []byte) error

	field []byte    // as it was read
	out   []byte    // the trimmed result
	rest  io.Reader // the remaining answer, nil before anything was read
	err   error
}

// listItems is the field of the items in every list.
const listItems protowire.Number = 2

// Read implements [io.Reader].
func (b *listBody) Read(p []byte) (int, error) {
	if b.rest == nil && b.err == nil {
		b.begin()
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.rest.Read(p)
}

// begin reads the list and keeps the answer without the items.
func (b *listBody) begin() {
	if head, _ := b.in.Peek(len(prefix)); !bytes.Equal(head, prefix) {
		b.rest = b.in
		return
	}
	_, _ = b.in.Discard(len(prefix)) // they were peeked
	list, err := b.unknown()
	if err != nil {
		b.err = fmt.Errorf("read a list: %w", err)
		return
	}
	b.rest = bytes.NewReader(list)
}

// unknown returns the list without its items.
func (b *listBody) unknown() ([]byte, error) {
	out := bytes.Clone(prefix)
	var of *fields
	for listed := false; ; {
		number, length, err := b.header()
		if listed && errors.Is(err, io.EOF) {
			return out, nil
		}
		var value []byte
		switch {
		case err != nil:
			err = cutShort(err)
		case number == unknownRaw:
			listed = true
			value, err = b.list(of, length)
		default:
			value, err = b.value(length)
		}
		if err != nil {
			return nil, err
		}
		if number == unknownType {
			of = kept(strings.TrimSuffix(typeOf(value), "List"))
		}
		out = appendBytes(out, number, value)
	}
}

// list reads a list of length bytes and returns it without its items.
func (b *listBody) list(of *fields, length uint64) (out []byte, err error) {
	if length > math.MaxInt64/2 {
		return nil, fmt.Errorf("it says that it has %d bytes", length)
	}
	end := b.read + int64(length)
	for b.read < end {
		number, length, err := b.header()
		if err != nil {
			return nil, cutShort(err)
		}
		if b.read > end || length > uint64(end-b.read) {
			return nil, fmt.Errorf("field %d of the list ends behind it", number)
		}
		value, err := b.value(length)
		switch {
		case err != nil:
		case number == listItems:
			err = b.take(b.trimmed(of, value))
		default:
			out = appendBytes(out, number, value)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// trimmed returns the kept fields of an item, or all if the item is malformed.
func (b *listBody) trimmed(of *fields, item []byte) []byte {
	if of == nil {
		return item
	}
	out, err := of.keep(b.out[:0], item)
	if err != nil {
		return item
	}
	b.out = out
	return out
}

// header reads the number of a field and the length of its value, which all
// fields of a list have. The error is [io.EOF] at the end.
func (b *listBody) header() (number protowire.Number, length uint64, err error) {
	tag, err := b.varint()
	if err != nil {
		return 0, 0, err
	}
	number, kind := protowire.DecodeTag(tag)
	if number <= 0 || kind != protowire.BytesType {
		return 0, 0, fmt.Errorf("field %d is of type %d, not of bytes", number, kind)
	}
	length, err = b.varint()
	return number, length, cutShort(err)
}

func (b *listBody) varint() (uint64, error) {
	return binary.ReadUvarint(counter{b})
}

// A counter reads byte by byte.
type counter struct{ *listBody }

// ReadByte implements [io.ByteReader].
func (c counter) ReadByte() (byte, error) {
	one, err := c.in.ReadByte()
	if err == nil {
		c.read++
	}
	return one, err
}

// value reads length bytes, which are valid until the next call.
func (b *listBody) value(length uint64) ([]byte, error) {
	if length > maxObject {
		return nil, fmt.Errorf("a field of %d bytes is longer than %d", length, maxObject)
	}
	b.field = slices.Grow(b.field[:0], int(length))[:length]
	n, err := io.ReadFull(b.in, b.field)
	b.read += int64(n)
	return b.field, cutShort(err)
}

func appendBytes(dst []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), value)
}
