package replica

// Stats count what a replica has done and what it has refused.
type Stats struct {
	Keys, Tombstones int // now
	Bytes            int // of encoded values, now; large ones that are changing are left out
	Unsaved          int // bytes that are on their way to the disk, now
	Watches          int // now
	Waiting          int // payloads that wait for earlier ones, now
	Resyncing        bool

	Writes, Refused    uint64 // requests
	Updates            uint64 // payloads of others
	Casts, CastBytes   uint64
	SentBytes          uint64 // to neighbours
	Persisted          uint64 // bytes
	Pulls, PullsFailed uint64
	Pulled             uint64 // values and deltas that neighbours sent
	Rounds             uint64 // that have ended
	Collected          uint64 // tombstones forgotten
	Resyncs            uint64
	Republished        uint64 // own keys said anew

	Malformed   uint64 // messages and values that could not be read
	Forged      uint64 // claims that were not proved, or could not be true
	Oversized   uint64 // updates refused for their size
	FarFuture   uint64 // clocks not believed
	Dropped     uint64 // payloads for which there was no room
	Ignored     uint64 // messages out of place
	Differences uint64 // neighbours that held other values of the same operations
	Repaired    uint64 // keys that were corrupt here
	Corrupt     uint64 // lines and values that could not be read
	DiskErrors  uint64
}

// Stats returns the counters.
func (r *Replica) Stats() Stats {
	s := r.stats
	s.Keys = r.keys.n
	for _, rec := range r.tombs {
		if rec.is(recAbsent) && !rec.is(recVolatile) {
			s.Tombstones++
		}
	}
	s.Keys -= s.Tombstones
	s.Unsaved, s.Watches, s.Waiting, s.Resyncing = r.disk.bytes, len(r.watches.list), len(r.waiting), r.resync
	return s
}

// Hash is a hash of all durable keys and what they read as, and of what was
// received: replicas that have the same are equal.
func (r *Replica) Hash() (values, vector uint64) { return r.sum(), r.durable.hash() }
