package replica

import (
	"math/rand/v2"
	"time"

	"fulcrum.example/crux"
)

// Limits bound what a replica takes. Zero fields have the defaults.
type Limits struct {
	// Value is the size of a key's encoded value, in bytes, that a local write
	// may reach (1 MiB, which is also the most). Updates from others may be as
	// large; as concurrent writes add up, what they amount to may be up to eight
	// times that.
	Value int
	// Keys is how many keys local writes may make (4·10^6); those of others are
	// taken up to twice as many.
	Keys int
	// Unsaved is how many bytes may be on their way to the disk (16 MiB). At
	// twice as many, updates from others are dropped, to be fetched later.
	Unsaved int
	// Casts is how many bytes of deltas may wait to be multicast (4 MiB).
	Casts int
	// CastRate is how many bytes a second are multicast (16 MiB).
	CastRate int
	// Watchers (1,024), and for each of them the changes (4,096) and the bytes
	// (8 MiB) that may wait.
	Watchers, WatchEvents, WatchBytes int
	// Volatile is how many volatile keys a node may have (4,096).
	Volatile int
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		p *int
		n int
	}{
		{&l.Value, 1 << 20}, {&l.Keys, 4_000_000}, {&l.Unsaved, 16 << 20}, {&l.Casts, 4 << 20}, {&l.CastRate, 16 << 20},
		{&l.Watchers, 1024}, {&l.WatchEvents, 4096}, {&l.WatchBytes, 8 << 20}, {&l.Volatile, 4096},
	} {
		if *f.p <= 0 {
			*f.p = f.n
		}
	}
	l.Value = min(l.Value, 1<<20)
	return l
}

// mergedFactor is how much larger than Limits.Value a value may become by what
// others write.
const mergedFactor = 8

// Params are times. Zero fields have the defaults.
type Params struct {
	Compare  time.Duration // between comparisons with a neighbour (3 s, ±40%)
	Coalesce time.Duration // deltas of busy times wait so long for others (5 ms)
	Settle   time.Duration // between rounds, at least (10 min, up to twice that)
	Grace    time.Duration // a node that is no member, but writes, is waited for so long (10 min)
}

func (p Params) withDefaults() Params {
	for _, f := range []struct {
		p *time.Duration
		d time.Duration
	}{
		{&p.Compare, 3 * time.Second}, {&p.Coalesce, 5 * time.Millisecond},
		{&p.Settle, 10 * time.Minute}, {&p.Grace, 10 * time.Minute},
	} {
		if *f.p <= 0 {
			*f.p = f.d
		}
	}
	return p
}

// Config says who a replica is.
type Config struct {
	Self crux.NodeID
	Bloc crux.BlocID
	// Incarnation is greater than all that this node ever had, and on disk
	// before New is called. After a handover it is the predecessor's: see Import.
	Incarnation uint64
	// First says that this node has had no other, as far as its disk tells. Then all
	// are told that those before have ended only when one turns out to have something
	// of them: who starts a thousand new nodes at once has no use for as many casts.
	First  bool
	Wall   time.Time // the time of day at New
	Rand   *rand.Rand
	Limits Limits
	Params Params

	// Sign signs the root of a batch with the incarnation's session key, under
	// a label of its own.
	Sign func(root []byte) []byte
	// Verify says whether sig is the signature of root by the session key that
	// card shows, and card is that of node's incarnation.
	Verify func(node crux.NodeID, incarnation uint64, card, root, sig []byte) bool
	// Card finds the card of a node's incarnation, this one's included, or gives
	// nil. The replica keeps cards of those whose keys it holds, and passes them
	// on to those who missed them: at most MaxCard bytes.
	Card func(node crux.NodeID, incarnation uint64) []byte
}

// MaxCard bounds a card, in bytes.
const MaxCard = 1024

// Standing says how a node counts.
type Standing uint8

// The standings of members.
const (
	Stable  Standing = iota + 1 // a member: deletions wait until it has them
	Absent                      // a member, but silent for more than a day: not waited for
	Evicted                     // removed for good: its namespace is dropped
)

// Member is a node of the bloc.
type Member struct {
	ID       crux.NodeID
	Standing Standing
}
