// Package trim removes from lists and watches the fields that Stayput does not
// read, before they are decoded. These are most of an object, and decoding
// takes most of the time of a list.
package trim

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A fields says which fields of a protobuf message are kept.
type fields struct {
	listed listed
	others bool // whether a field that is not listed is kept
}

// A listed maps a field to the fields that are kept within its message, or to
// nil.
type listed map[protowire.Number]*fields

// only keeps the fields that are listed.
func only(l listed) *fields { return &fields{l, false} }

// allBut removes the fields that are listed as nil, and keeps all others.
func allBut(l listed) *fields { return &fields{l, true} }

// keep appends to dst the fields of a message that are kept.
func (f *fields) keep(dst, message []byte) ([]byte, error) {
	return rewrite(dst, message, func(dst []byte, number protowire.Number, kind protowire.Type, field []byte) ([]byte,
		error) {
		switch inner, is := f.listed[number]; {
		case inner != nil && kind == protowire.BytesType:
			return edit(dst, field, inner.keep)
		case inner != nil || is != f.others:
			return append(dst, field...), nil
		}
		return dst, nil
	})
}

// rewrite calls take for each field of a message, tag and value in their
// encoding. Take appends the field to dst.
func rewrite(dst, message []byte, take func(dst []byte, number protowire.Number, kind protowire.Type,
	field []byte) ([]byte, error)) ([]byte, error) {
	for len(message) > 0 {
		number, kind, length := protowire.ConsumeField(message)
		if length < 0 {
			return nil, protowire.ParseError(length)
		}
		var err error
		if dst, err = take(dst, number, kind, message[:length]); err != nil {
			return nil, err
		}
		message = message[length:]
	}
	return dst, nil
}

// rewriteOne appends a message to dst. It replaces the bytes in one field by
// those that change appends.
func rewriteOne(dst, message []byte, number protowire.Number,
	change func(dst, value []byte) ([]byte, error)) ([]byte, error) {
	return rewrite(dst, message, func(dst []byte, n protowire.Number, kind protowire.Type, field []byte) ([]byte, error) {
		if n == number && kind == protowire.BytesType {
			return edit(dst, field, change)
		}
		return append(dst, field...), nil
	})
}

// edit appends a field of bytes to dst. It replaces them by those that change
// appends.
func edit(dst, field []byte, change func(dst, value []byte) ([]byte, error)) ([]byte, error) {
	_, _, tag := protowire.ConsumeTag(field)
	value, _ := protowire.ConsumeBytes(field[tag:])
	dst = append(dst, field[:tag]...)
	start := len(dst)
	dst, err := change(dst, value)
	if err != nil {
		return nil, err
	}
	var length [binary.MaxVarintLen64]byte // is inserted before the value
	return slices.Insert(dst, start, protowire.AppendVarint(length[:0], uint64(len(dst)-start))...), nil
}

// bytesIn returns the bytes in a field of a message, or nil if it has none.
func bytesIn(message []byte, number protowire.Number) (value []byte) {
	_, _ = rewrite(nil, message, func(_ []byte, n protowire.Number, kind protowire.Type, field []byte) ([]byte, error) {
		if n == number && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(field)
			value, _ = protowire.ConsumeBytes(field[tag:])
		}
		return nil, nil
	})
	return value
}
