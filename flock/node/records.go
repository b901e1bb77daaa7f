package node

import (
	"crypto/ed25519"
	"sync"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/flock"
	"fulcrum.example/flock/packet"
)

const (
	// recordsKept is the number of verified records in each of two generations.
	recordsKept = 1 << 14
	// What may be verified for packets of discovery, whose senders are not known
	// yet: some 60 µs each, so that a flood of them takes a quarter of a core at
	// most, and ten thousand nodes that power up together are served.
	verifyRate  = 4000.0
	verifyBurst = 12000.0
)

// records verifies the signatures of records, each once: equal records are made
// one, which saves memory too. Safe for any goroutine.
type records struct {
	scope seal.Scope

	mu       sync.Mutex
	new, old map[[32]byte]*flock.Record
	budget   seal.Bucket
}

func newRecords(scope seal.Scope) *records {
	return &records{scope: scope, new: make(map[[32]byte]*flock.Record)}
}

// check verifies all records in a message, which the header h came with, and
// puts the known ones in their place.
func (v *records) check(now time.Duration, h *packet.Header, m flock.Message) seal.Verdict {
	switch m := m.(type) {
	case *flock.Join:
		return v.sender(now, h, &m.Record)
	case *flock.Offer:
		return v.sender(now, h, &m.Record)
	case *flock.Accept:
		return v.sender(now, h, &m.Record)
	case *flock.Proof:
		for i := range m.Records {
			if !v.verify(&m.Records[i]) {
				return seal.BadRecord
			}
		}
	case *flock.Page:
		for _, e := range m.Entries {
			if !v.verify(&e.Record) {
				return seal.BadRecord
			}
		}
	}
	return seal.Accepted
}

// sender checks a record that its subject itself sent.
func (v *records) sender(now time.Duration, h *packet.Header, r **flock.Record) seal.Verdict {
	if (*r).ID != h.Sender || (*r).Incarnation != h.Incarnation {
		return seal.BadRecord
	}
	if packet.SealingOf(h.Kind) == flock.Discovery && !v.known(*r) && !v.take(now) {
		return seal.OverBudget
	}
	if !v.verify(r) {
		return seal.BadRecord
	}
	return seal.Accepted
}

// verify says whether a record is signed by its subject.
func (v *records) verify(r **flock.Record) bool {
	signed := (*r).SignedBytes(v.scope.Bloc, v.scope.Name)
	sum := recordSum(signed, (*r).Signature[:])
	if have := v.get(sum); have != nil {
		*r = have
		return true
	}
	if !ed25519.Verify((*r).Key[:], crux.Labelled(crux.LabelRecord, signed), (*r).Signature[:]) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.new) >= recordsKept {
		v.old, v.new = v.new, make(map[[32]byte]*flock.Record)
	}
	v.new[sum] = *r
	return true
}

func (v *records) known(r *flock.Record) bool {
	return v.get(recordSum(r.SignedBytes(v.scope.Bloc, v.scope.Name), r.Signature[:])) != nil
}

func (v *records) get(sum [32]byte) *flock.Record {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r := v.new[sum]; r != nil {
		return r
	}
	r := v.old[sum]
	if r != nil {
		v.new[sum] = r
	}
	return r
}

// take is the budget for verifying what strangers send.
func (v *records) take(now time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.budget.Take(now, verifyRate, verifyBurst)
}
