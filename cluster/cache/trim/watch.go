package trim

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/watch"
)

// A watchBody reads the events of a watch: each is a WatchEvent behind its
// length in four bytes, with the object as Unknown behind a prefix of its own.
type watchBody struct {
	io.Closer
	in    *bufio.Reader
	event []byte // as it was read
	out   []byte // the trimmed result
	rest  []byte // the part of out that was not read yet
	wild  bool   // the stream is not one of events
}

// The fields of the messages around an object.
const (
	eventType      protowire.Number = 1 // of WatchEvent
	eventObject    protowire.Number = 2
	extensionRaw   protowire.Number = 1 // of RawExtension
	unknownType    protowire.Number = 1 // of Unknown
	unknownRaw     protowire.Number = 2
	typeAPIVersion protowire.Number = 1 // of TypeMeta
	typeKind       protowire.Number = 2
)

// prefix is what Kubernetes puts before an object in protobuf.
var prefix = []byte("k8s\x00")

// maxObject is the largest event in bytes that client-go accepts. An object in
// etcd has at most a tenth of that by default.
const maxObject = 16 << 20

// Read implements [io.Reader].
func (b *watchBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 && !b.wild {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	if len(b.rest) == 0 {
		return b.in.Read(p)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next reads an event and trims it.
func (b *watchBody) next() error {
	head, err := b.in.Peek(4)
	if err != nil {
		if len(head) > 0 {
			err = cutShort(err)
		}
		return err
	}
	length := binary.BigEndian.Uint32(head)
	if b.wild = length > maxObject; b.wild {
		return nil
	}
	b.event = slices.Grow(b.event[:0], 4+int(length))[:4+length]
	if _, err := io.ReadFull(b.in, b.event); err != nil {
		return err
	}
	b.rest = b.event
	room := append(b.out[:0], b.event[:4]...) // for the length
	if out, err := trim(room, b.event[4:]); err == nil {
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		b.out, b.rest = out, out
	}
	return nil
}

// trim appends an event with the kept fields of its object.
func trim(dst, event []byte) ([]byte, error) {
	if string(bytesIn(event, eventType)) == string(watch.Bookmark) {
		return append(dst, event...), nil // the annotations are in the message
	}
	return rewriteOne(dst, event, eventObject, func(dst, extension []byte) ([]byte, error) {
		return rewriteOne(dst, extension, extensionRaw, func(dst, raw []byte) ([]byte, error) {
			unknown, ok := bytes.CutPrefix(raw, prefix)
			fields := kept(typeOf(bytesIn(unknown, unknownType)))
			if !ok || fields == nil {
				return append(dst, raw...), nil
			}
			return rewriteOne(append(dst, prefix...), unknown, unknownRaw, fields.keep)
		})
	})
}

// typeOf returns the type in a TypeMeta in the form that kept takes.
func typeOf(meta []byte) string {
	return string(bytesIn(meta, typeAPIVersion)) + " " + string(bytesIn(meta, typeKind))
}
