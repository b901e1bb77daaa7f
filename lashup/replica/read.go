package replica

// Get reads a key. A key that is not there has the zero Value; Invalid for what
// cannot be a key.
func (r *Replica) Get(key []string) (Item, error) {
	enc, err := EncodeKey(key)
	if err != nil {
		return Item{}, err
	}
	rec := r.find(enc)
	if rec == nil {
		return Item{Key: key, Version: r.version(r.number)}, nil
	}
	return r.item(rec, key), nil
}

func (r *Replica) item(rec *record, key []string) Item {
	s := r.state(rec)
	x := Item{Key: key, Value: s.Value(), Version: r.version(rec.version)}
	if !r.doomed(rec) { // a write would not see it
		x.Context = s.Context()
	}
	return x
}

// Scan reads up to max keys that a pattern selects and that come after a key (nil:
// from the first one), in their order; keys of which nothing is there are left
// out. more says that there may be more.
func (r *Replica) Scan(p Pattern, after []string, max int) (out []Item, more bool, err error) {
	from := p.prefix
	if len(after) > 0 {
		enc, err := EncodeKey(after)
		if err != nil {
			return nil, false, err
		}
		if enc >= from {
			from = enc + "\x00"
		}
	}
	for at := r.seek(from); ; at = r.keys.next(at) {
		x := r.keys.at(at)
		if x == nil || !hasKeyPrefix((*x).key, p.prefix) {
			return out, false, nil
		}
		if (*x).is(recAbsent) || !p.matchEncoded((*x).key) {
			continue
		}
		if len(out) == max {
			return out, true, nil
		}
		key, err := DecodeKey((*x).key)
		if err != nil {
			return nil, false, err
		}
		out = append(out, r.item(*x, key))
	}
}
