package packet

import (
	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

// Seen is what a process has opened of another one's packets.
type Seen struct {
	Card   []byte // route.Card
	Window []byte // seal.Window
}

// Freeze prepares for another process to go on with this one's epoch: counter is
// where its counters begin, seen what it must not open again. This one may seal
// some packets more, from numbers that are its own.
func (s *Pairs) Freeze() (counter uint64, seen []Seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = s.counter + lease
	for _, p := range s.peers {
		if p.window != nil {
			seen = append(seen, Seen{Card: p.card.Append(nil), Window: p.window.Append(nil)})
		}
	}
	return s.limit, seen
}

// Thaw takes back what Freeze gave away: numbers that the other process may have
// used are left out.
func (s *Pairs) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit != 0 {
		s.counter, s.limit = s.limit+leap, 0
	}
}

// Resume takes in what Freeze gave in another process. Errors: Corrupt.
func (s *Pairs) Resume(seen []Seen) error {
	for i := range seen {
		c, err := route.DecodeCard(seen[i].Card)
		w, ok := seal.ReadWindow(seen[i].Window)
		if err != nil || !ok {
			return crux.Errorf("take over packets", crux.Corrupt, "what was seen of another process is malformed")
		}
		if s.Learn(c) {
			s.mu.Lock()
			s.peers[c.Node].window = &w
			s.mu.Unlock()
		}
	}
	return nil
}
