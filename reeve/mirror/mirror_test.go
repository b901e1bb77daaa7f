package mirror_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/reeve/mirror"
)

func doc(name string, version uint64) crux.Doc {
	return crux.Doc{DocKey: crux.DocKey{Kind: crux.IntentDoc, Name: name}, Version: version}
}

// store is an artifact store that may be down.
type store struct {
	mu   sync.Mutex
	docs map[crux.DocKey]crux.Doc
	down bool
	puts int
}

func (s *store) PutDoc(_ context.Context, d crux.Doc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.puts++; s.down {
		return crux.Errorf("put", crux.Unavailable, "the store is down")
	}
	s.docs[d.DocKey] = d
	return nil
}

func (s *store) ListDocs(context.Context) (out []crux.Doc, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, crux.Errorf("list", crux.Unavailable, "the store is down")
	}
	for _, d := range s.docs {
		out = append(out, d)
	}
	return out, nil
}

func (s *store) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *store) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts
}

func (s *store) version(name string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.docs[doc(name, 0).DocKey].Version
}

// local is a reeve that accepts what is not marked as refused.
type local struct {
	mu      sync.Mutex
	docs    map[crux.DocKey]crux.Doc
	changed chan struct{}
	refuses map[string]bool
}

func (l *local) AllDocs() (out []crux.Doc, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.docs {
		out = append(out, d)
	}
	return out, l.changed
}

func (l *local) StoreDoc(d crux.Doc) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch have := l.docs[d.DocKey]; {
	case l.refuses[d.Name]:
		return crux.Errorf("store", crux.Denied, "no publisher signed %s", d.Name)
	case have.Version > d.Version:
		return crux.Errorf("store", crux.Conflict, "version %d is here", have.Version)
	case have.Version == d.Version:
		return nil
	}
	l.docs[d.DocKey] = d
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

func (l *local) version(name string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.docs[doc(name, 0).DocKey].Version
}

func (l *local) refuse(name string, yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuses[name] = yes
}

// flock is one whose leadership the test gives and takes.
type flock struct {
	views chan *crux.View
}

func (f flock) View() *crux.View { return nil }

func (f flock) Watch(ctx context.Context) <-chan *crux.View {
	out := make(chan *crux.View)
	go func() {
		defer close(out)
		for {
			select {
			case v := <-f.views:
				select {
				case out <- v:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (f flock) lead(yes bool) {
	v := &crux.View{Flock: crux.FlockID{1}, Self: crux.NodeID{1}, Leader: crux.NodeID{2}}
	if yes {
		v.Leader, v.Acting = v.Self, true
	}
	f.views <- v
	synctest.Wait()
}

// bed runs a test in virtual time.
func bed(t *testing.T, test func(t *testing.T, s *store, l *local, f flock)) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{docs: map[crux.DocKey]crux.Doc{}}
		l := &local{docs: map[crux.DocKey]crux.Doc{}, changed: make(chan struct{}), refuses: map[string]bool{}}
		f := flock{make(chan *crux.View)}
		m, err := mirror.Open(mirror.Config{Store: s, Reeve: l, Members: f})
		if err != nil {
			t.Fatal(err)
		}
		test(t, s, l, f)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

// pass lets virtual time pass.
func pass(d time.Duration) {
	time.Sleep(d) // virtual: every test here runs in a synctest bubble
	synctest.Wait()
}

func TestLeaderMirrorsAndOthersDoNot(t *testing.T) {
	bed(t, func(t *testing.T, s *store, l *local, f flock) {
		f.lead(false)
		must(t, l.StoreDoc(doc("a", 1)))
		synctest.Wait()
		if s.calls() != 0 {
			t.Fatalf("a follower put %d documents", s.calls())
		}
		f.lead(true)
		must(t, l.StoreDoc(doc("b", 1)))
		must(t, l.StoreDoc(doc("a", 2)))
		synctest.Wait()
		if s.version("a") != 2 || s.version("b") != 1 {
			t.Fatalf("the store has a %d, b %d", s.version("a"), s.version("b"))
		}
		puts := s.calls()
		f.lead(false)
		must(t, l.StoreDoc(doc("a", 3)))
		f.lead(true)
		if s.version("a") != 3 || s.calls() != puts+1 {
			t.Errorf("a new reign put %d documents, want the one that was missing; a is %d", s.calls()-puts, s.version("a"))
		}
	})
}

func TestNewLeaderLoadsWhatTheGroupLost(t *testing.T) {
	bed(t, func(t *testing.T, s *store, l *local, f flock) {
		must(t, s.PutDoc(t.Context(), doc("lost", 4)))
		must(t, s.PutDoc(t.Context(), doc("behind", 1)))
		must(t, l.StoreDoc(doc("behind", 2)))
		f.lead(true)
		if l.version("lost") != 4 || l.version("behind") != 2 || s.version("behind") != 2 {
			t.Errorf("lost %d, behind %d, in the store %d", l.version("lost"), l.version("behind"), s.version("behind"))
		}
	})
}

func TestStoreThatIsDownIsTriedAgainSparingly(t *testing.T) {
	bed(t, func(t *testing.T, s *store, l *local, f flock) {
		for i := range 10 {
			must(t, l.StoreDoc(doc(fmt.Sprint("d", i), 1)))
		}
		must(t, s.PutDoc(t.Context(), doc("lost", 1)))
		f.lead(true)
		s.set(true)
		must(t, l.StoreDoc(doc("d0", 2)))
		puts := s.calls()
		pass(time.Hour)
		if n := s.calls() - puts; n > 100 || n < 50 {
			t.Errorf("%d calls in an hour to a store that was down, want about one a minute", n)
		}
		s.set(false)
		pass(2 * time.Minute)
		if s.version("d0") != 2 {
			t.Errorf("the store is up again and has d0 %d", s.version("d0"))
		}
	})
}

func TestStoreThatIsDownAtFirstIsReadLater(t *testing.T) {
	bed(t, func(t *testing.T, s *store, l *local, f flock) {
		must(t, s.PutDoc(t.Context(), doc("lost", 4)))
		s.set(true)
		f.lead(true)
		pass(time.Hour)
		s.set(false)
		pass(2 * time.Minute)
		if l.version("lost") != 4 {
			t.Error("what the store had was not loaded once it was up")
		}
	})
}

func TestRefusedDocumentIsOfferedAgainAndHoldsUpNone(t *testing.T) {
	bed(t, func(t *testing.T, s *store, l *local, f flock) {
		must(t, s.PutDoc(t.Context(), doc("forged", 9)))
		must(t, s.PutDoc(t.Context(), doc("good", 1)))
		l.refuse("forged", true)
		f.lead(true)
		must(t, l.StoreDoc(doc("new", 1)))
		synctest.Wait()
		if l.version("good") != 1 || s.version("new") != 1 || l.version("forged") != 0 {
			t.Fatalf("good %d, new %d, forged %d", l.version("good"), s.version("new"), l.version("forged"))
		}
		l.refuse("forged", false) // its signer has joined
		pass(2 * time.Minute)
		if l.version("forged") != 9 {
			t.Error("the document was not offered again")
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
