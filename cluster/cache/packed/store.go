package packed

import (
	"fmt"
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"
)

// A store holds the objects of one kind, each as a [packing], and
// finds them by name and by indexes. It decodes objects for each lookup; they
// must not be edited. It implements [cache.Indexer].
type store struct {
	kind      reflect.Type // the type that Object points to
	transform cache.TransformFunc

	listener listener
	recent   [256]atomic.Pointer[decoded]
	writes   sync.Mutex // held while objects change, until the listener has been called
	encoded  []byte     // memory of pack
	packer   packer

	mu      sync.RWMutex
	rows    []row
	free    []uint32 // rows without an object
	indexes map[string]index
	heads   heads
	entries []entry // the first means "none"
	spare   uint32  // the first unused entry
	version string
	list    uint32 // number of the last list, or of the current one
}

// A listener is called for one change after another.
type listener interface {
	set(was, now Object, initial bool) // was is nil for a new object
	gone(last any)                     // an Object or a [cache.DeletedFinalStateUnknown]
}

// A row is one object.
type row struct {
	packing        // none where the row is free
	first   uint32 // of its entries
	list    uint32 // the last list that contained it
}

// A decoded row is kept until another takes its slot: Pods are created one
// after another, and for each of them the same StatefulSet is looked up.
type decoded struct {
	packing
	obj Object
}

// A stored object is the content of a row at the time of a lookup.
type stored struct {
	row uint32
	packing
}

// An entry says that a row has a key of an index. It is in two lists: of all
// entries with the key, and of all entries of the row.
type entry struct {
	hash       uint64
	row        uint32
	prev, next uint32 // with the same key; 0 is none
	sibling    uint32 // of the same row
}

// An index computes keys of an object. Each index has its own hash function.
type index struct {
	keys cache.IndexFunc
	seed maphash.Seed
}

func (idx index) hash(key string) uint64 { return maphash.String(idx.seed, key) }

// has says whether an object has a key: two keys may have the same hash.
func (idx index) has(obj any, key string) bool {
	keys, err := idx.keys(obj)
	return err == nil && slices.Contains(keys, key)
}

// byName is the index of names: <namespace>/<name>, or the name alone.
const byName = ""

func newStore(kind Object, indexers cache.Indexers, listener listener) *store {
	s := &store{
		listener: listener, kind: reflect.TypeOf(kind).Elem(), indexes: map[string]index{},
		entries: make([]entry, 1),
	}
	s.addIndex(byName, func(obj any) ([]string, error) {
		key, err := cache.MetaNamespaceKeyFunc(obj)
		return []string{key}, err
	})
	for name, keys := range indexers {
		s.addIndex(name, keys)
	}
	return s
}

func (s *store) addIndex(name string, keys cache.IndexFunc) {
	s.indexes[name] = index{keys, maphash.MakeSeed()}
}

// strip returns an object as it is stored.
func (s *store) strip(obj any) (Object, error) {
	if s.transform != nil {
		var err error
		if obj, err = s.transform(obj); err != nil {
			return nil, err
		}
	}
	o, ok := obj.(Object)
	if !ok {
		return nil, fmt.Errorf("store a %s: a %T is none", s.kind.Name(), obj)
	}
	return o, nil
}

// encode sets encoded to an object in protobuf.
func (s *store) encode(o Object) error {
	size := o.Size()
	s.encoded = slices.Grow(s.encoded[:0], size)[:size]
	if _, err := o.MarshalToSizedBuffer(s.encoded); err != nil {
		return fmt.Errorf("store a %s: %w", s.kind.Name(), err)
	}
	return nil
}

func (s *store) unpack(p packing) (Object, error) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	used, data := p.unpack(*buffer)
	*buffer = used
	return s.decode(data) // which keeps nothing of data
}

func (s *store) decode(data []byte) (Object, error) {
	obj := reflect.New(s.kind).Interface().(Object)
	if err := obj.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("decode a stored %s: %w", s.kind.Name(), err)
	}
	return obj, nil
}

// Add stores an object. It replaces the one of the same name.
func (s *store) Add(obj any) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	return s.set(obj, false)
}

// Update is Add.
func (s *store) Update(obj any) error { return s.Add(obj) }

// Delete removes the object with the name of obj, its last state.
func (s *store) Delete(obj any) error {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return err
	}
	s.writes.Lock()
	defer s.writes.Unlock()
	s.mu.RLock()
	at, was := s.named(key)
	s.mu.RUnlock()
	if was == nil {
		return nil
	}
	if _, unknown := obj.(cache.DeletedFinalStateUnknown); !unknown {
		if obj, err = s.strip(obj); err != nil {
			return err
		}
	}
	s.remove(at)
	s.listener.gone(obj)
	return nil
}

// Replace stores all objects of a list and removes all others.
func (s *store) Replace(list []any, version string) error {
	s.beginList()
	for _, obj := range list {
		if err := s.addListed(obj); err != nil {
			return err
		}
	}
	return s.endList(version)
}

// beginList says that the objects stored from now on belong to a list, until
// endList. The objects of an incomplete list stay.
func (s *store) beginList() {
	s.writes.Lock()
	defer s.writes.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list++
}

// addListed stores an object of a list.
func (s *store) addListed(obj any) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	return s.set(obj, true)
}

// addEncoded stores an object of a list in protobuf. It does not keep data.
func (s *store) addEncoded(data []byte) error {
	obj, err := s.decode(data)
	if err != nil {
		return err
	}
	return s.addListed(obj)
}

// endList removes the objects that were not in the list.
func (s *store) endList(version string) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	for at := range s.rows {
		if !s.rows[at].none() && s.rows[at].list != s.list {
			was, err := s.unpack(s.rows[at].packing)
			if err != nil {
				return err
			}
			key, err := cache.MetaNamespaceKeyFunc(was)
			if err != nil {
				return err
			}
			s.remove(uint32(at))
			s.listener.gone(cache.DeletedFinalStateUnknown{Key: key, Obj: was})
		}
	}
	s.clip()
	s.Bookmark(version)
	return nil
}

// clip frees the unused capacity of slices if that is large.
func (s *store) clip() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cap(s.rows) > len(s.rows)+len(s.rows)/16 {
		s.rows = slices.Clone(s.rows)
	}
	if cap(s.entries) > len(s.entries)+len(s.entries)/16 {
		s.entries = slices.Clone(s.entries)
	}
}

// set stores an object.
func (s *store) set(obj any, initial bool) error {
	now, err := s.strip(obj)
	if err != nil {
		return err
	}
	if err := s.encode(now); err != nil {
		return err
	}
	was, err := s.put(now)
	if err == nil {
		s.listener.set(was, now, initial)
	}
	return err
}

// put stores an object, which is encoded, and returns the one of the same name that
// it replaces.
func (s *store) put(now Object) (was Object, err error) {
	key, err := cache.MetaNamespaceKeyFunc(now)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, was := s.named(key)
	switch {
	case was != nil:
		s.unlink(at)
	case len(s.free) > 0:
		at = s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
	default:
		at = uint32(len(s.rows))
		s.rows = append(s.rows, row{})
	}
	s.rows[at].packing, s.rows[at].list = s.packer.pack(s.encoded, s.rows[at].packing), s.list
	for name, idx := range s.indexes {
		if err := s.link(at, now, idx); err != nil {
			return was, fmt.Errorf("index %s %s by %q: %w", s.kind.Name(), key, name, err)
		}
	}
	return was, nil
}

func (s *store) remove(at uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlink(at)
	s.rows[at] = row{}
	s.free = append(s.free, at)
}

// named returns the row and the object of a name, nil if there is none. A lock
// must be held.
func (s *store) named(name string) (uint32, Object) {
	idx := s.indexes[byName]
	for i := s.heads.first(idx.hash(name), s.entries); i != 0; i = s.entries[i].next {
		at := s.entries[i].row
		if obj, err := s.unpack(s.rows[at].packing); err == nil && idx.has(obj, name) {
			return at, obj
		}
	}
	return 0, nil
}

// link puts a row into the lists of its keys.
func (s *store) link(at uint32, obj Object, idx index) error {
	keys, err := idx.keys(obj)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if slices.Contains(keys[:i], key) {
			continue
		}
		hash := idx.hash(key)
		head, made := s.heads.first(hash, s.entries), s.spare
		if made == 0 {
			made = uint32(len(s.entries))
			s.entries = append(s.entries, entry{})
		} else {
			s.spare = s.entries[made].next
		}
		s.entries[made] = entry{hash: hash, row: at, next: head, sibling: s.rows[at].first}
		if head != 0 {
			s.entries[head].prev = made
		}
		s.heads.set(made, s.entries)
		s.rows[at].first = made
	}
	return nil
}

// unlink takes a row out of all lists.
func (s *store) unlink(at uint32) {
	for i := s.rows[at].first; i != 0; {
		e := s.entries[i]
		if e.next != 0 {
			s.entries[e.next].prev = e.prev
		}
		switch {
		case e.prev != 0:
			s.entries[e.prev].next = e.next
		case e.next != 0:
			s.heads.set(e.next, s.entries)
		default:
			s.heads.remove(e.hash, s.entries)
		}
		s.entries[i] = entry{next: s.spare}
		s.spare, i = i, e.sibling
	}
	s.rows[at].first = 0
}

// ByIndex returns the objects that have a key of an index, in no order.
func (s *store) ByIndex(name, key string) ([]any, error) {
	idx, rows, err := s.look(name, key)
	if err != nil {
		return nil, err
	}
	var found []any
	for _, r := range rows {
		obj, err := s.decodeOnce(r)
		if err != nil {
			return nil, err
		}
		if idx.has(obj, key) {
			found = append(found, obj)
		}
	}
	return found, nil
}

// decodeOnce decodes a row unless it was decoded recently.
func (s *store) decodeOnce(r stored) (Object, error) {
	slot := &s.recent[r.row%uint32(len(s.recent))]
	if d := slot.Load(); d != nil && d.packing == r.packing {
		return d.obj, nil
	}
	obj, err := s.unpack(r.packing)
	if err == nil {
		slot.Store(&decoded{r.packing, obj})
	}
	return obj, err
}

// look returns the rows that may have a key of an index. They can be decoded
// without a lock.
func (s *store) look(name, key string) (idx index, rows []stored, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	idx, ok := s.indexes[name]
	if !ok {
		return idx, nil, fmt.Errorf("find %s: no index is called %q", s.kind.Name(), name)
	}
	for i := s.heads.first(idx.hash(key), s.entries); i != 0; i = s.entries[i].next {
		at := s.entries[i].row
		rows = append(rows, stored{at, s.rows[at].packing})
	}
	return idx, rows, nil
}

// GetByKey returns the object of a name: <namespace>/<name>, or the name alone.
func (s *store) GetByKey(key string) (item any, exists bool, err error) {
	found, err := s.ByIndex(byName, key)
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	return found[0], true, nil
}

// Get returns the object that has the name of another.
func (s *store) Get(obj any) (item any, exists bool, err error) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return nil, false, err
	}
	return s.GetByKey(key)
}

// Each calls visit with one object after another, in no order.
func (s *store) Each(visit func(Object)) {
	s.mu.RLock()
	all := make([]packing, 0, len(s.rows)-len(s.free))
	for i := range s.rows {
		if p := s.rows[i].packing; !p.none() {
			all = append(all, p)
		}
	}
	s.mu.RUnlock()
	for _, p := range all {
		// Objects that cannot be decoded are not stored.
		if obj, err := s.unpack(p); err == nil {
			visit(obj)
		}
	}
}

// List returns all objects, in no order.
func (s *store) List() (objs []any) {
	s.Each(func(obj Object) { objs = append(objs, obj) })
	return objs
}

// Index returns the objects that have a key of an index in common with another.
func (s *store) Index(name string, obj any) ([]any, error) {
	s.mu.RLock()
	idx, ok := s.indexes[name]
	s.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("find %s: no index is called %q", s.kind.Name(), name)
	}
	keys, err := idx.keys(obj)
	if err != nil {
		return nil, err
	}
	var found []any
	for i, key := range keys {
		some, err := s.ByIndex(name, key)
		if err != nil {
			return nil, err
		}
		for _, o := range some {
			// Each object once: for the first key that it has.
			if !slices.ContainsFunc(keys[:i], func(k string) bool { return idx.has(o, k) }) {
				found = append(found, o)
			}
		}
	}
	return found, nil
}

// ListKeys returns the names of all objects.
func (s *store) ListKeys() []string { return s.ListIndexFuncValues(byName) }

// IndexKeys returns the names of the objects that have a key of an index.
func (s *store) IndexKeys(name, key string) (names []string, err error) {
	found, err := s.ByIndex(name, key)
	for _, obj := range found {
		if name, err := cache.MetaNamespaceKeyFunc(obj); err == nil {
			names = append(names, name)
		}
	}
	return names, err
}

// ListIndexFuncValues returns the keys of an index that objects have, sorted.
func (s *store) ListIndexFuncValues(name string) []string {
	s.mu.RLock()
	idx, ok := s.indexes[name]
	s.mu.RUnlock()
	if !ok {
		return nil
	}
	values := map[string]struct{}{}
	s.Each(func(obj Object) {
		keys, _ := idx.keys(obj) // it was stored, so there was no error
		for _, key := range keys {
			values[key] = struct{}{}
		}
	})
	return slices.Sorted(maps.Keys(values))
}

// GetIndexers returns the indexes.
func (s *store) GetIndexers() cache.Indexers {
	s.mu.RLock()
	defer s.mu.RUnlock()
	indexers := cache.Indexers{}
	for name, idx := range s.indexes {
		if name != byName {
			indexers[name] = idx.keys
		}
	}
	return indexers
}

// AddIndexers adds indexes of present and future objects.
func (s *store) AddIndexers(indexers cache.Indexers) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range indexers {
		if _, ok := s.indexes[name]; ok {
			return fmt.Errorf("index %s: there is an index %q already", s.kind.Name(), name)
		}
	}
	for name, keys := range indexers {
		s.addIndex(name, keys)
	}
	for at := range s.rows {
		if s.rows[at].none() {
			continue
		}
		obj, err := s.unpack(s.rows[at].packing)
		if err != nil {
			return err
		}
		for name := range indexers {
			if err := s.link(uint32(at), obj, s.indexes[name]); err != nil {
				return fmt.Errorf("index %s %s by %q: %w", s.kind.Name(), obj.GetName(), name, err)
			}
		}
	}
	return nil
}

// Resync does nothing: handlers need no repetition.
func (s *store) Resync() error { return nil }

// Bookmark records the resource version up to which everything is stored.
func (s *store) Bookmark(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = version
}

// LastStoreSyncResourceVersion returns the recorded resource version.
func (s *store) LastStoreSyncResourceVersion() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.version
}
