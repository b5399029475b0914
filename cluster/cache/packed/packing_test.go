package packed

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/randfill"

	"stayput.dev/cluster"
)

// unpacked returns the bytes of a packing.
func unpacked(p packing) []byte {
	_, data := p.unpack(nil)
	return data
}

// FuzzPacking holds that bytes come out as they went in, whatever was packed before
// them, in a buffer that was used before, too.
func FuzzPacking(f *testing.F) {
	f.Add([]byte("db-0 db-0 db-0"), []byte("db-1 db-1 db-1"), []byte("db-1"), false)
	f.Add([]byte("a"), []byte(strings.Repeat("a", 300)), []byte(strings.Repeat("ab", 200)), true)
	f.Add(bytes.Repeat([]byte("0123456789"), 3000), bytes.Repeat([]byte("0123456789"), 3000),
		bytes.Repeat([]byte("9876543210"), 7000), true)
	f.Fuzz(func(t *testing.T, first, second, third []byte, replaces bool) {
		var (
			k      packer
			last   packing
			packed []packing
			buffer []byte
		)
		all := slices.DeleteFunc([][]byte{first, second, third, first, second}, func(b []byte) bool { return len(b) == 0 })
		for _, b := range all {
			if !replaces {
				last = packing{}
			}
			last = k.pack(b, last)
			packed = append(packed, last)
		}
		for i, p := range packed {
			var got []byte
			if buffer, got = p.unpack(buffer); !bytes.Equal(got, all[i]) {
				t.Fatalf("packed %q after %q, got %q", all[i], all[:i], got)
			}
			if p.none() {
				t.Fatalf("%q is packed, and counts as none", all[i])
			}
		}
	})
}

// TestPackedLikeness holds that objects of one kind share what they have in common, that
// of those that have nothing in common none takes more than its bytes, and that what
// is changed again and again stays small.
func TestPackedLikeness(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	pod := func(n int) []byte {
		of := fmt.Sprintf("db%d", n/10)
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("%s-%d", of, n%10),
			UID: types.UID(uuid.NewString()), ResourceVersion: fmt.Sprint(r.IntN(1e7)), Labels: map[string]string{
				"app.kubernetes.io/name": of, "app.kubernetes.io/part-of": "shop", "statefulset.kubernetes.io/pod-name": of},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: of,
				UID: types.UID(uuid.NewSHA1(uuid.Nil, []byte(of)).String())}}}}
		data, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	noise := func(int) []byte {
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return b
	}
	for _, tt := range []struct {
		name string
		make func(int) []byte
		most float64 // of the bytes, packed
	}{{"alike", pod, 0.5}, {"nothing in common", noise, 1}} {
		var (
			k           packer
			packed      []packing
			raw, texts  int
			wanted      [][]byte
			basesInUse  = map[*string]bool{}
			checkedSize = func(when string) {
				t.Helper()
				for base := range basesInUse {
					texts += len(*base)
				}
				if got := float64(texts) / float64(raw); got > tt.most {
					t.Errorf("%s, %s: %.2f of the bytes, and it should be at most %.2f", tt.name, when, got, tt.most)
				}
			}
		)
		for n := range 1000 {
			b := tt.make(n)
			p := k.pack(b, packing{})
			wanted, packed, raw, texts = append(wanted, b), append(packed, p), raw+len(b), texts+len(p.text)
		}
		checkedSize("listed")
		for range 5000 {
			n := r.IntN(len(packed))
			wanted[n] = tt.make(n)
			packed[n] = k.pack(wanted[n], packed[n])
		}
		raw, texts = 0, 0
		for n, p := range packed {
			if got := unpacked(p); !bytes.Equal(got, wanted[n]) {
				t.Fatalf("%s: packed %q, got %q", tt.name, wanted[n], got)
			}
			raw, texts = raw+len(wanted[n]), texts+len(p.text)
			if p.base != nil {
				basesInUse[p.base] = true
			}
		}
		checkedSize("changed")
	}
}

// TestDecodedKeepsNoBytes holds that an object shares no memory with the bytes that it was
// decoded from, for these are overwritten, for each kind that is kept so.
func TestDecodedKeepsNoBytes(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(0.2).NumElements(1, 3).MaxDepth(12)
	for _, k := range cluster.Kinds {
		if !k.Packed {
			continue
		}
		kind := reflect.TypeOf(k.Object).Elem()
		s := newStore(k.Object.(Object), nil, nil)
		for range 50 {
			obj := reflect.New(kind).Interface().(Object)
			fill.Fill(obj)
			if err := s.encode(obj); err != nil {
				t.Fatal(err)
			}
			want, err := s.decode(bytes.Clone(s.encoded))
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.decode(s.encoded)
			if err != nil {
				t.Fatal(err)
			}
			for i := range s.encoded {
				s.encoded[i] = 'x'
			}
			if !equality.Semantic.DeepEqual(want, got) {
				t.Fatalf("a %s has changed with the bytes that it came from", kind.Name())
			}
		}
	}
}

// TestHeads holds the table of lists to a map, over many insertions and removals, of
// hashes that fall on few slots.
func TestHeads(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		var (
			got     heads
			want    = map[uint64]uint32{}
			entries = make([]entry, 1)
		)
		for range 2000 {
			hash := uint64(r.IntN(300)) << r.IntN(3)
			if _, there := want[hash]; there && r.IntN(2) == 0 {
				got.remove(hash, entries)
				delete(want, hash)
			} else {
				made := uint32(len(entries))
				entries = append(entries, entry{hash: hash})
				got.set(made, entries)
				want[hash] = made
			}
			if got.used != len(want) {
				t.Fatalf("seed %d: %d lists, and there are %d", seed, got.used, len(want))
			}
		}
		for hash := range uint64(1200) {
			if first := got.first(hash, entries); first != want[hash] {
				t.Fatalf("seed %d: the list of %d begins with %d, and should with %d", seed, hash, first, want[hash])
			}
		}
	}
}
