package rehearsal

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// mostYAML is how many bytes of YAML are read: it is turned into JSON as a whole.
const mostYAML = 64 << 20

// A reader reads events from a file, one at a time.
type reader struct {
	name  string
	lines *lineCounter // nil of YAML
	dec   *json.Decoder

	list  *Event // the EventList whose items are being read, as far as it was read
	items bool   // inside of them
	from  int    // the line on which the object begins that is being read
}

// newReader returns a reader of JSON objects, or of YAML documents, compressed or
// not, which are events or lists of them.
func newReader(name string, in io.Reader) (*reader, error) {
	buf := bufio.NewReaderSize(in, 1<<16)
	if magic, err := buf.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(buf)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		buf = bufio.NewReaderSize(unzipped, 1<<16)
	}
	r := &reader{name: name}
	newlines := 0
	for {
		c, _, err := buf.ReadRune()
		if err != nil {
			return r.decode(nil, 0), nil // nothing but space
		}
		if unicode.IsSpace(c) || c == '\ufeff' {
			if c == '\n' {
				newlines++
			}
			continue
		}
		if err := buf.UnreadRune(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if c != '{' {
			return r.fromYAML(buf)
		}
		return r.decode(buf, newlines), nil
	}
}

func (r *reader) decode(in io.Reader, newlines int) *reader {
	if in == nil {
		in = bytes.NewReader(nil)
	}
	r.lines = &lineCounter{Reader: in, passed: newlines}
	r.dec = json.NewDecoder(r.lines)
	return r
}

// fromYAML turns all documents of a file into JSON.
func (r *reader) fromYAML(in *bufio.Reader) (*reader, error) {
	var all bytes.Buffer
	limited := &io.LimitedReader{R: in, N: mostYAML + 1}
	docs := utilyaml.NewYAMLReader(bufio.NewReader(limited))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if limited.N == 0 {
			return nil, fmt.Errorf("%s: more than %d MiB of YAML; write it as JSON, which is read as it comes", r.name,
				mostYAML>>20)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		text, err := yaml.YAMLToJSON(doc)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: neither JSON nor YAML: %w", r.name, n, err)
		}
		if text = bytes.TrimSpace(text); !bytes.Equal(text, []byte("null")) {
			all.Write(append(text, '\n'))
		}
	}
	r.decode(&all, 0)
	r.lines = nil
	r.dec = json.NewDecoder(&all)
	return r, nil
}

// next returns the next event, or io.EOF. An event that is cut off, as the last of
// a file that is being written, ends the file.
func (r *reader) next() (*Event, error) {
	e, err := r.read()
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return e, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, io.EOF
	}
	at := r.name
	if r.lines != nil {
		at = fmt.Sprintf("%s:%d", r.name, r.from)
	}
	return nil, fmt.Errorf("%s: no event of audit.k8s.io/v1: %w", at, err)
}

func (r *reader) read() (*Event, error) {
	for {
		if r.items {
			if r.dec.More() {
				r.begin()
				e := &Event{}
				if err := r.dec.Decode(e); err != nil {
					return nil, err
				}
				return e, e.check("Event", true)
			}
			if _, err := r.dec.Token(); err != nil { // ]
				return nil, cutOff(err)
			}
			r.items = false
		}
		e := r.list
		if e == nil {
			t, err := r.dec.Token()
			if err != nil { // also the end
				return nil, err
			}
			r.begin()
			if t != json.Delim('{') {
				return nil, errors.New("is no object")
			}
			e = &Event{}
		}
		whole, err := r.fields(e)
		switch {
		case err != nil:
			return nil, cutOff(err)
		case !whole: // at its items
		case r.list != nil:
			r.list = nil
			if err := e.check("EventList", false); err != nil {
				return nil, err
			}
		default:
			return e, e.check("Event", false)
		}
	}
}

// fields reads the fields of an object, and says whether these were all: of a list
// it stops at the items.
func (r *reader) fields(e *Event) (whole bool, err error) {
	for r.dec.More() {
		key, err := r.dec.Token()
		if err != nil {
			return false, err
		}
		if key == "items" && r.list == nil {
			if t, err := r.dec.Token(); err != nil || t != json.Delim('[') {
				return false, errors.Join(err, errors.New("items: is no list"))
			}
			r.list, r.items = e, true
			return false, nil
		}
		name, _ := key.(string)
		if err := r.dec.Decode(e.field(name)); err != nil {
			return false, err
		}
	}
	t, err := r.dec.Token()
	if err == nil && t != json.Delim('}') {
		err = errors.New("is no object")
	}
	return true, err
}

// field returns what a field of an event is decoded into.
func (e *Event) field(name string) any {
	switch name {
	case "apiVersion":
		return &e.APIVersion
	case "kind":
		return &e.Kind
	case "level":
		return &e.Level
	case "stage":
		return &e.Stage
	case "requestURI":
		return &e.RequestURI
	case "verb":
		return &e.Verb
	case "user":
		return &e.User
	case "impersonatedUser":
		return &e.ImpersonatedUser
	case "objectRef":
		return &e.ObjectRef
	case "responseStatus":
		return &e.ResponseStatus
	case "requestObject":
		return &e.RequestObject
	case "responseObject":
		return &e.ResponseObject
	case "requestReceivedTimestamp":
		return &e.Received
	case "annotations":
		return &e.Annotations
	}
	return new(json.RawMessage)
}

// check says what is wrong with the kind; the items of a list need not name it.
func (e *Event) check(kind string, item bool) error {
	if item && e.Kind == "" && e.APIVersion == "" || e.Kind == kind && e.APIVersion == "audit.k8s.io/v1" {
		return nil
	}
	return fmt.Errorf("apiVersion and kind are %q and %q", e.APIVersion, e.Kind)
}

// cutOff says that what ends in the middle was cut off.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// begin notes the line on which an object begins.
func (r *reader) begin() {
	if r.lines != nil {
		r.from = r.lines.at(r.dec.InputOffset())
	}
}

// A lineCounter tells the lines of what is read through it.
type lineCounter struct {
	io.Reader
	read   int64
	passed int     // newlines before what is asked for
	ahead  []int64 // where the others stand, as far as it was read
}

// Read implements [io.Reader].
func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			c.ahead = append(c.ahead, c.read+int64(i))
		}
	}
	c.read += int64(n)
	return n, err
}

// at returns the line of an offset, which only ever grows.
func (c *lineCounter) at(offset int64) int {
	i, _ := slices.BinarySearch(c.ahead, offset)
	c.passed += i
	c.ahead = slices.Delete(c.ahead, 0, i)
	return c.passed + 1
}
