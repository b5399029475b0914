package packed

// The heads are the first entries of the lists of keys, found by the hashes of keys,
// which the entries hold: a table of four bytes a slot, in which an entry stands in
// the first free slot from that of its hash on. A map would take four times the memory.
type heads struct {
	slots []uint32 // 0 is free; a power of two, of which at most three quarters are used
	used  int
}

// find returns the slot of the list with a hash, or the free one where it belongs. There
// must be a slot.
func (h *heads) find(hash uint64, entries []entry) int {
	mask := len(h.slots) - 1
	i := int(hash) & mask
	for h.slots[i] != 0 && entries[h.slots[i]].hash != hash {
		i = (i + 1) & mask
	}
	return i
}

// first returns the first entry of the list with a hash, 0 if there is none.
func (h *heads) first(hash uint64, entries []entry) uint32 {
	if len(h.slots) == 0 {
		return 0
	}
	return h.slots[h.find(hash, entries)]
}

// set makes an entry the first of the list with its hash.
func (h *heads) set(first uint32, entries []entry) {
	if 4*(h.used+1) > 3*len(h.slots) {
		h.resize(max(8, 2*len(h.slots)), entries)
	}
	slot := &h.slots[h.find(entries[first].hash, entries)]
	if *slot == 0 {
		h.used++
	}
	*slot = first
}

// resize makes room for more lists.
func (h *heads) resize(n int, entries []entry) {
	old := h.slots
	h.slots = make([]uint32, n)
	for _, first := range old {
		if first != 0 {
			h.slots[h.find(entries[first].hash, entries)] = first
		}
	}
}

// remove takes a list out, which must be there. What could no longer be found behind
// its slot moves up.
func (h *heads) remove(hash uint64, entries []entry) {
	mask := len(h.slots) - 1
	free := h.find(hash, entries)
	for i := (free + 1) & mask; h.slots[i] != 0; i = (i + 1) & mask {
		wanted := int(entries[h.slots[i]].hash) & mask
		if (i-wanted)&mask >= (i-free)&mask {
			h.slots[free], free = h.slots[i], i
		}
	}
	h.slots[free] = 0
	h.used--
}
