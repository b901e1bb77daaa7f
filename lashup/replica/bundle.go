package replica

import (
	"encoding/binary"
	"slices"
	"sort"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/codec"
	"fulcrum.example/lashup/crdt"
)

// Bounds of bundles.
const (
	maxItems   = 1 << 14
	maxBatches = 1 << 10
	maxState   = maxMessage - 64<<10
)

// Bundle is a list of values or deltas, with the proofs of those that have an
// owner.
type Bundle struct {
	Items   []Value // by key, each once
	Batches []Proof // by the order in which items first name them
}

// Value is a key's state, or a delta of it.
type Value struct {
	Key   string // encoded
	State []byte // encoded
	Whole bool   // it takes the place of what is there, if it is newer (keys with an owner)
	// After, of a delta that is multicast, is the last that its sender had done
	// to the key before: who has not received that cannot use the delta yet.
	After crdt.Mark
	Batch int  // keys with an owner: index of Batches plus one
	Leaf  int  // its number in the batch
	Sum   hash // of batches of several: sumOf what the key reads as, so that each can be checked alone
}

// Proof proves some leaves of a batch: see merkle.go.
type Proof struct {
	Leaves int // of the batch
	Sig    [sigSize]byte
	Hashes []hash // what the leaves in the bundle do not tell
}

const (
	hashSize = 32
	sigSize  = 64
)

const (
	itemWhole = 1 << iota
	itemOwned
	itemAfter
)

func (b *Bundle) itemSize(v *Value) int {
	n := 1 + textLen(len(v.Key)) + textLen(len(v.State))
	if v.After != (crdt.Mark{}) {
		n += codec.UvarintSize(v.After.Incarnation) + codec.UvarintSize(v.After.Seq)
	}
	if v.Batch > 0 {
		n += codec.UvarintSize(uint64(v.Batch-1)) + codec.UvarintSize(uint64(v.Leaf))
		if b.Batches[v.Batch-1].Leaves > 1 {
			n += hashSize
		}
	}
	return n
}

func (p *Proof) size() int {
	return codec.UvarintSize(uint64(p.Leaves)) + sigSize + codec.UvarintSize(uint64(len(p.Hashes))) + hashSize*len(p.Hashes)
}

func (b *Bundle) size() int {
	n := codec.UvarintSize(uint64(len(b.Batches))) + codec.UvarintSize(uint64(len(b.Items)))
	for i := range b.Batches {
		n += b.Batches[i].size()
	}
	for i := range b.Items {
		n += b.itemSize(&b.Items[i])
	}
	return n
}

func (b *Bundle) append(out []byte) []byte {
	out = binary.AppendUvarint(out, uint64(len(b.Batches)))
	for i := range b.Batches {
		p := &b.Batches[i]
		out = append(binary.AppendUvarint(out, uint64(p.Leaves)), p.Sig[:]...)
		out = binary.AppendUvarint(out, uint64(len(p.Hashes)))
		for k := range p.Hashes {
			out = append(out, p.Hashes[k][:]...)
		}
	}
	out = binary.AppendUvarint(out, uint64(len(b.Items)))
	for i := range b.Items {
		v := &b.Items[i]
		after := v.After != crdt.Mark{}
		out = append(out, bit(v.Whole, itemWhole)|bit(v.Batch > 0, itemOwned)|bit(after, itemAfter))
		out = appendText(appendText(out, v.Key), v.State)
		if after {
			out = binary.AppendUvarint(binary.AppendUvarint(out, v.After.Incarnation), v.After.Seq)
		}
		if v.Batch > 0 {
			out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(v.Batch-1)), uint64(v.Leaf))
			if b.Batches[v.Batch-1].Leaves > 1 {
				out = append(out, v.Sum[:]...)
			}
		}
	}
	return out
}

func (r *reader) bundle() Bundle { return r.bundleOf(maxBatches) }

// bundleOf reads a bundle with items of so many batches at most.
func (r *reader) bundleOf(batches int) (b Bundle) {
	if n := r.Count(batches, 1+sigSize+1); n > 0 {
		b.Batches = make([]Proof, n)
	}
	for i := range b.Batches {
		b.Batches[i] = r.proof()
	}
	if n := r.Count(maxItems, 4); n > 0 {
		b.Items = make([]Value, n)
	}
	named := 0
	for i := range b.Items {
		v := &b.Items[i]
		r.item(v)
		r.Check(i == 0 || b.Items[i-1].Key < v.Key)
		r.Check(v.Batch <= len(b.Batches) && v.Batch <= named+1)
		if v.Batch > 0 && !r.Bad() {
			named = max(named, v.Batch)
			r.Check(v.Leaf < b.Batches[v.Batch-1].Leaves)
			if b.Batches[v.Batch-1].Leaves > 1 {
				copy(v.Sum[:], r.Take(hashSize))
			}
		}
	}
	r.Check(named == len(b.Batches))
	return b
}

func (r *reader) proof() (p Proof) {
	n := r.Uvarint()
	r.Check(n > 0 && n <= maxLeaves)
	p.Leaves = int(n)
	copy(p.Sig[:], r.Take(sigSize))
	p.Hashes = r.hashes()
	return p
}

// hashes reads the hashes of a proof; nil if there are none.
func (r *reader) hashes() (list []hash) {
	if n := r.Count(maxLeaves, hashSize); n > 0 {
		list = make([]hash, n)
	}
	for i := range list {
		copy(list[i][:], r.Take(hashSize))
	}
	return list
}

func (r *reader) item(v *Value) {
	f := r.flags(itemWhole | itemOwned | itemAfter)
	v.Whole = f&itemWhole != 0
	v.Key = r.key()
	v.State = r.bytes(maxState)
	if f&itemAfter != 0 {
		v.After = crdt.Mark{Incarnation: r.Uvarint(), Seq: r.Uvarint()}
		r.Check(v.After != crdt.Mark{} && !v.Whole)
	}
	owned := f&itemOwned != 0
	p, ok := placeOf(v.Key)
	r.Check(r.Bad() || ok && owned == !p.owner.IsZero() && (owned || !v.Whole))
	if owned {
		batch, leaf := r.Uvarint(), r.Uvarint()
		r.Check(batch < maxItems && leaf < maxLeaves)
		v.Batch, v.Leaf = int(batch)+1, int(leaf)
	}
}

// bundler makes a Bundle.
type bundler struct {
	items  []Value
	proofs []*proof // of the items; nil: none
	size   int      // about
}

func (b *bundler) add(v Value, p *proof) {
	b.items = append(b.items, v)
	b.proofs = append(b.proofs, p)
	if b.size += len(v.Key) + len(v.State) + 8; p != nil {
		b.size += sigSize + hashSize*(1+len(p.path))
	}
}

// bundle gives what was added. sum is what the key of an item reads as.
func (b *bundler) bundle(sum func(key string) hash) (out Bundle) {
	sort.Sort((*byKey)(b))
	out.Items = b.items
	index := map[*batch]int{}
	var lists [][]*proof
	for i, p := range b.proofs {
		if p == nil {
			continue
		}
		k, ok := index[p.batch]
		if !ok {
			k = len(lists)
			index[p.batch] = k
			lists = append(lists, nil)
			out.Batches = append(out.Batches, Proof{Leaves: p.batch.leaves, Sig: p.batch.sig})
		}
		lists[k] = append(lists[k], p)
		v := &out.Items[i]
		if v.Batch, v.Leaf = k+1, p.leaf; p.batch.leaves > 1 {
			v.Sum = sum(v.Key)
		}
	}
	for k, list := range lists {
		slices.SortFunc(list, func(a, b *proof) int { return a.leaf - b.leaf })
		out.Batches[k].Hashes = gatherHashes(out.Batches[k].Leaves, list)
	}
	return out
}

type byKey bundler

func (b *byKey) Len() int           { return len(b.items) }
func (b *byKey) Less(i, j int) bool { return b.items[i].Key < b.items[j].Key }
func (b *byKey) Swap(i, j int) {
	b.items[i], b.items[j] = b.items[j], b.items[i]
	b.proofs[i], b.proofs[j] = b.proofs[j], b.proofs[i]
}

// Card is the card of a node's incarnation, as Config.Card gives it.
type Card struct {
	Node        crux.NodeID
	Incarnation uint64
	Data        []byte
}

func cardsLen(list []Card) int {
	n := codec.UvarintSize(uint64(len(list)))
	for i := range list {
		n += len(list[i].Node) + codec.UvarintSize(list[i].Incarnation) + textLen(len(list[i].Data))
	}
	return n
}

func appendCards(b []byte, list []Card) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		b = append(b, list[i].Node[:]...)
		b = binary.AppendUvarint(b, list[i].Incarnation)
		b = appendText(b, list[i].Data)
	}
	return b
}

func (r *reader) cards() []Card {
	var list []Card
	for i, n := 0, r.Count(maxItems, 8+1+1); i < n && !r.Bad(); i++ {
		list = append(list, Card{r.Node(), r.Uvarint(), r.bytes(MaxCard)})
		r.Check(i == 0 || lessCard(&list[i-1], &list[i]))
	}
	return list
}

func (c *Card) id() cardID { return cardID{c.Node, c.Incarnation} }

func lessCard(a, b *Card) bool { return a.id().compare(b.id()) < 0 }

func sortCards(list []Card) {
	slices.SortFunc(list, func(a, b Card) int { return a.id().compare(b.id()) })
}
