package sim

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// The scenarios in testdata/*.txt are scripts of one command a line:
//
//	nodes N              N nodes at dense addresses, 20 ms RTT, 1% loss
//	start [WHO]          start them now (all: over 100 ms)
//	wait D               let the time go by
//	kill WHO, restart WHO, hang WHO, wake WHO, leave WHO
//	evict WHO            by the leader
//	split A | B | ...    partition: nodes that are not named stay with the first
//	cut WHO > WHO        packets that way are lost
//	heal                 end all partitions and cuts
//	file WHO V|open|listed      a bloc file of version V, or of another mode (before start)
//	unlist WHO           from now on no node's bloc file admits WHO
//	mark                 remember who leads which flock
//	until CONDITION within D    fail if it has not come true by then
//	expect CONDITION            fail unless it is true now
//	throughout D CONDITION      fail unless it is true at all times
//
// WHO is "all", numbers as 0,2-4, "leader" (who acts now for the most members),
// "old" (who led at the last mark), or "follower" (the last node but that one).
// Conditions, of the nodes that run:
//
//	flocks N             they are in N flocks, each with a leader that acts, each list whole
//	same flock           the greatest flock is the one of the mark
//	same leader          and its leader, too, whom all its nodes know
//	new leader           it has another leader, whom all its nodes know
//	members N            the greatest flock lists N members that are not Lost
//	alone WHO            WHO is in a flock of its own
//	silent WHO           WHO does not act
//	hint WHO TEXT        WHO tells its user something with TEXT in it
type scenario struct {
	t    *testing.T
	w    *World
	old  *Node
	mark crux.FlockID
	line string
}

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for seed := range seedCount(5) {
				runScenario(t, string(script), uint64(seed+1))
			}
		})
	}
}

func runScenario(t *testing.T, script string, seed uint64) {
	s := &scenario{t: t}
	for i, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		s.line = fmt.Sprintf("seed %d, line %d: %s", seed, i+1, strings.TrimSpace(line))
		if words[0] == "nodes" {
			s.w = NewWorld(s.number(words[1]), seed, 0.01, 20*time.Millisecond)
			continue
		}
		s.do(words)
		if err := s.w.Err(); err != nil {
			t.Fatalf("%s: %v", s.line, err)
		}
	}
}

func (s *scenario) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s: at %v: %s\n%s", s.line, s.w.Net.Now(), fmt.Sprintf(format, args...), describe(s.w))
}

func (s *scenario) number(w string) int {
	n, err := strconv.Atoi(w)
	if err != nil {
		s.t.Fatalf("%s: %v", s.line, err)
	}
	return n
}

func (s *scenario) time(w string) time.Duration {
	d, err := time.ParseDuration(w)
	if err != nil {
		s.t.Fatalf("%s: %v", s.line, err)
	}
	return d
}

// who finds the nodes that a word names.
func (s *scenario) who(w string) []*Node {
	switch w {
	case "all":
		return s.w.Nodes
	case "old":
		return []*Node{s.old}
	case "follower":
		n := len(s.w.Nodes)
		if s.w.Nodes[n-1] == s.old {
			n--
		}
		return s.w.Nodes[n-1 : n]
	case "leader":
		f := s.greatest()
		if f == nil {
			s.fail("nobody leads")
		}
		return []*Node{f.leader}
	}
	var out []*Node
	for part := range strings.SplitSeq(w, ",") {
		lo, hi, ok := strings.Cut(part, "-")
		if !ok {
			hi = lo
		}
		out = append(out, s.w.Nodes[s.number(lo):s.number(hi)+1]...)
	}
	return out
}

func (s *scenario) do(words []string) {
	switch words[0] {
	case "wait":
		s.run(s.time(words[1]))
	case "heal":
		s.w.Net.Heal()
	case "split":
		s.split(words[1:])
	case "mark":
		f := s.greatest()
		if f == nil {
			s.fail("nobody leads")
		}
		s.old, s.mark = f.leader, f.id
	case "until":
		limit := s.w.Net.Now() + s.time(words[len(words)-1])
		cond := words[1 : len(words)-2]
		for s.w.Err() == nil && !s.holds(cond) {
			if s.w.Net.Now() > limit {
				s.fail("it has not come true")
			}
			s.run(10 * time.Millisecond)
		}
	case "expect":
		if !s.holds(words[1:]) {
			s.fail("it is not so")
		}
	case "throughout":
		for end := s.w.Net.Now() + s.time(words[1]); s.w.Net.Now() < end; s.run(10 * time.Millisecond) {
			if !s.holds(words[2:]) {
				s.fail("it is no longer so")
			}
		}
	default:
		for _, nd := range s.who(words[1]) {
			s.act(nd, words)
		}
	}
}

func (s *scenario) act(nd *Node, words []string) {
	switch words[0] {
	case "start":
		s.w.Net.At(s.w.Net.Now()+time.Duration(nd.rng.Int64N(int64(100*time.Millisecond))), nd.Start)
	case "restart":
		nd.Start()
	case "kill":
		nd.Crash()
	case "hang":
		nd.Place.Suspend()
	case "wake":
		nd.Place.Resume()
	case "leave":
		nd.Do(func(now time.Duration, m *flock.Machine) flock.Ready { return m.Leave(now) })
	case "evict":
		f := s.greatest()
		f.leader.Do(func(now time.Duration, m *flock.Machine) flock.Ready {
			r, err := m.Evict(now, nd.ID)
			if err != nil {
				s.fail("%v", err)
			}
			return r
		})
	case "cut":
		for _, to := range s.who(words[3]) {
			nd.Place.Cut(to.Place)
		}
	case "file":
		switch words[2] {
		case "open":
			nd.File.Open = true
		case "listed":
			nd.File.Open = false
		default:
			nd.File.Version = uint64(s.number(words[2]))
			nd.File.Hash[0] = byte(nd.File.Version)
		}
	case "unlist":
		for _, x := range s.w.Nodes {
			x.Allow = func(k ed25519.PublicKey) bool { return crux.NodeIDOf(k) != nd.ID }
		}
	default:
		s.t.Fatalf("%s: no such command", s.line)
	}
}

func (s *scenario) split(words []string) {
	group := 0
	for _, w := range words {
		if w == "|" {
			group++
			continue
		}
		for _, nd := range s.who(w) {
			nd.Place.Partition(group)
		}
	}
}

func (s *scenario) run(d time.Duration) { s.w.Net.RunUntil(s.w.Net.Now() + d) }

// seenFlock is a flock as its nodes that run see it.
type seenFlock struct {
	id     crux.FlockID
	nodes  []*Node
	leader *Node // who acts
	known  bool  // all know that leader
	agreed bool  // and their lists are whole
}

func (s *scenario) flocks() []*seenFlock {
	var out []*seenFlock
	for _, nd := range s.w.Nodes {
		if !nd.Up() {
			continue
		}
		st := nd.M.Status()
		i := slices.IndexFunc(out, func(f *seenFlock) bool { return f.id == st.Flock })
		if i < 0 {
			i, out = len(out), append(out, &seenFlock{id: st.Flock, known: true, agreed: true})
		}
		f := out[i]
		f.nodes = append(f.nodes, nd)
		if st.Acting && st.Lease > s.w.Net.Now() {
			f.leader = nd
		}
	}
	for _, f := range out {
		for _, nd := range f.nodes {
			st := nd.M.Status()
			f.known = f.known && f.leader != nil && st.Leader == f.leader.ID
			f.agreed = f.agreed && f.known && st.Synced
		}
	}
	return out
}

// greatest is the flock with the most nodes that run, among those with a leader.
func (s *scenario) greatest() *seenFlock {
	var best *seenFlock
	for _, f := range s.flocks() {
		if f.leader != nil && (best == nil || len(f.nodes) > len(best.nodes)) {
			best = f
		}
	}
	return best
}

func (s *scenario) holds(cond []string) bool {
	all, f := s.flocks(), s.greatest()
	switch strings.Join(cond[:min(len(cond), 2)], " ") {
	case "same flock":
		return f != nil && f.id == s.mark
	case "same leader":
		return f != nil && f.id == s.mark && f.leader == s.old && f.known
	case "new leader":
		return f != nil && f.id == s.mark && f.leader != s.old && f.known
	}
	switch cond[0] {
	case "flocks":
		return len(all) == s.number(cond[1]) && !slices.ContainsFunc(all, func(f *seenFlock) bool { return !f.agreed })
	case "members":
		n := 0
		if f != nil {
			for _, mb := range f.leader.M.View().Members {
				if mb.State != crux.Lost {
					n++
				}
			}
		}
		return n == s.number(cond[1])
	case "alone":
		return !slices.ContainsFunc(s.who(cond[1]), func(nd *Node) bool { return !nd.Up() || len(nd.M.View().Members) > 1 })
	case "silent":
		return !slices.ContainsFunc(s.who(cond[1]), func(nd *Node) bool {
			return nd.Up() && nd.M.Status().Acting && nd.M.Status().Lease > s.w.Net.Now()
		})
	case "hint":
		return !slices.ContainsFunc(s.who(cond[1]), func(nd *Node) bool {
			return !nd.Up() || !slices.ContainsFunc(nd.M.View().Hints, func(h crux.Hint) bool {
				return strings.Contains(h.Text, strings.Join(cond[2:], " "))
			})
		})
	}
	s.t.Fatalf("%s: no such condition", s.line)
	return false
}

// describe prints every node's state, for failing tests.
func describe(w *World) string {
	var b strings.Builder
	for _, nd := range w.Nodes {
		switch {
		case nd.M == nil:
			fmt.Fprintf(&b, "%3d down\n", nd.Index)
		default:
			st := nd.M.Status()
			fmt.Fprintf(&b, "%3d %s up %v role %d flock %s epoch %d leader %s acting %v members %d synced %v\n", nd.Index, nd.ID,
				nd.Up(), st.Role, st.Flock.String()[:8], st.Epoch, st.Leader, st.Acting, st.Members, st.Synced)
		}
	}
	return b.String()
}
