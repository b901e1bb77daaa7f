package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"runtime"
	"testing"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/overlay"
	"fulcrum.example/lashup/packet"
	"fulcrum.example/lashup/route"
)

func TestDatagramsFromStrangersComeToNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a, b, r := w.all[0], w.all[1], corrupt(w.all[2])
	a.start()
	b.start()
	eventually(t, "two to see each other", func() bool { return a.up() == 2 && b.up() == 2 })
	at, id := a.sockets.Datagrams.LocalAddr(), a.member.ID
	// A member whose card is not known, and one that poses as another.
	r.pairs.Learn(a.Card(id))
	word := func(kind packet.Kind) []byte {
		p, _, err := r.pairs.Seal((&detect.Ping{Seq: 1}).Append(make([]byte, packet.Headroom)), id)
		if err != nil {
			t.Fatal(err)
		}
		p[1] = byte(kind)
		return p
	}
	posed := word(packet.Word)
	copy(posed[12:], b.member.ID[:])
	// The header tag is right under no key; the kind is changed; pure garbage.
	garbage := make([]byte, 300)
	if _, err := rand.Read(garbage); err != nil {
		t.Fatal(err)
	}
	long := make([]byte, 3000)
	for range 50 {
		for _, p := range [][]byte{word(packet.Word), posed, word(packet.Ask), word(9), garbage, {1}, long} {
			r.send(at, p)
		}
	}
	for _, v := range []seal.Verdict{seal.NoPeer, seal.BadLength, seal.BadKind} {
		eventually(t, v.String(), func() bool { return a.dropped(v) >= 50 })
	}
	eventually(t, "what is posed to be refused", func() bool {
		return a.dropped(seal.OldRun)+a.dropped(seal.UnknownKey) > 0 || a.dropped(seal.NoPeer) > 60
	})
	if a.up() != 2 || b.up() != 2 {
		t.Error("a neighbour was lost")
	}
}

func TestReplaysAndForgedHellosComeToNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a, r := w.all[0], corrupt(w.all[1])
	a.start()
	at, id := a.sockets.Datagrams.LocalAddr(), a.member.ID
	ask, err := r.pairs.SealHello(packet.Ask, id, packet.Nonce{1})
	if err != nil {
		t.Fatal(err)
	}
	r.send(at, ask)
	in := []crux.Datagram{{Data: make([]byte, 0, packet.MaxPacket)}}
	if _, err := r.udp.ReadBatch(in); err != nil || len(in[0].Data) > len(ask) {
		t.Fatalf("an Ask of %d bytes is answered with %d, %v", len(ask), len(in[0].Data), err)
	}
	h, v := packet.ParseHeader(in[0].Data, r.member.ID)
	m, v2 := r.pairs.OpenHello(1, at, &h, in[0].Data)
	if v != seal.Accepted || v2 != seal.Accepted || *m.Card != *a.Card(id) || m.Nonce != (packet.Nonce{1}) {
		t.Fatalf("%v, %v, %+v", v, v2, m)
	}
	r.pairs.Learn(m.Card)
	ping, _, err := r.pairs.Seal((&detect.Ping{Seq: 1}).Append(make([]byte, packet.Headroom)), id)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		r.send(at, ping)
	}
	eventually(t, "replays to be dropped", func() bool { return a.dropped(seal.Replayed) == 9 })
	// An Answer that nobody asked for, and the card of a third node that this one
	// has signed.
	answer, err := r.pairs.SealHello(packet.Answer, id, packet.Nonce{2})
	if err != nil {
		t.Fatal(err)
	}
	r.send(at, answer)
	eventually(t, "an Answer to nothing to be dropped", func() bool { return a.dropped(seal.NoPeer) == 1 })
	forger := corrupt(w.all[2])
	forged := *forger.pairs.Own()
	r.sign(&forged)
	forger.pairs.SetOwn(&forged)
	ask, err = forger.pairs.SealHello(packet.Ask, id, packet.Nonce{3})
	if err != nil {
		t.Fatal(err)
	}
	forger.send(at, ask)
	eventually(t, "a forged card to be dropped", func() bool { return a.dropped(seal.BadRecord) == 1 })
	if a.Card(forger.member.ID) != nil {
		t.Error("a forged card was learnt")
	}
}

func TestOnlyAProcessOfTheAPIWithItsOwnCardIsLinked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	a, r, other := w.all[0], corrupt(w.all[1]), corrupt(w.all[2])
	a.start()
	refused := func(name string, conn net.Conn) {
		t.Helper()
		ended(t, conn)
		if n, err := a.Counts(soon(t)); err != nil || n["fabric.links"] != 0 {
			t.Errorf("%s: %v, %v", name, n, err)
		}
	}
	refused("another's card", r.dial(a, other.pairs.Own()))
	forged := *r.pairs.Own()
	forged.Sig[0]++
	refused("a card that nobody signed", r.dial(a, &forged))
	conn := r.dial(a, r.pairs.Own())
	if c := r.hears(t, conn); *c != *a.Card(a.member.ID) {
		t.Errorf("it shows %+v", c)
	}
	eventually(t, "the link", func() bool {
		n, err := a.Counts(soon(t))
		return err == nil && n["fabric.links"] == 1
	})
	conn.Abort()
	older := *r.pairs.Own()
	newer := older
	newer.Epoch++
	r.sign(&newer)
	other.dial(a, other.pairs.Own())
	conn = r.dial(a, &newer)
	r.hears(t, conn)
	eventually(t, "the newer card", func() bool { return a.Card(r.member.ID).Epoch == newer.Epoch })
	conn.Abort()
	ended(t, r.dial(a, &older))
	// Another service of an enrolled node, which a rule lets call lashup.
	w.policy.Allow("galumph2_3", "lashup1", true)
	g := w.all[3]
	g.net.keys = g.ring.For("galumph2_3", crux.DefaultHorde)
	ended(t, corrupt(g).dial(a, &newer))
}

func TestAnAddressThatAnotherNodeHasNowDoesNoHarm(t *testing.T) {
	t.Parallel()
	w := form(t, 5)
	gone, heir := w.all[3], w.all[4]
	udp, tcp := gone.sockets.Datagrams.LocalAddr().Port(), addrOf(gone.sockets.Links).Port()
	gone.kill()
	heir.stop()
	// The heir listens where the other did.
	s := &Sockets{}
	var err error
	eventually(t, "the address to be free", func() bool { s.Datagrams, err = gone.net.ListenPacket(soon(t), udp); return err == nil })
	if s.Links, err = gone.net.Listen(soon(t), tcp); err != nil {
		t.Fatal(err)
	}
	if s.Service, err = gone.net.Listen(soon(t), udp); err != nil {
		t.Fatal(err)
	}
	heir.sockets = s
	heir.epoch++
	heir.Node, err = Open(soon(t), heir.config(inst))
	if err != nil {
		t.Fatal(err)
	}
	n := heir.Node
	t.Cleanup(func() { n.Close(); s.Service.Close() })
	w.rows.Put(heir.endpoint(inst), crux.Serving)
	for _, h := range w.all[:3] {
		eventually(t, "the heir to be up, and the other down", func() bool {
			alive, _ := h.state(heir)
			dead, _ := h.state(gone)
			return alive == route.Up && dead == route.Down
		})
		if c := h.Card(heir.member.ID); c.Addr != s.Datagrams.LocalAddr() {
			t.Errorf("the heir is thought to be at %s", c.Addr)
		}
	}
	if r, err := w.all[0].Check(soon(t), gone.member.ID); err != nil || r.State == detect.Alive {
		t.Errorf("the other is thought to live: %+v, %v", r, err)
	}
}

func TestALinkEndsWithTheFirstBadFrame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a, r := w.all[0], corrupt(w.all[1])
	a.start()
	say := func(b []byte) net.Conn {
		t.Helper()
		conn := r.dial(a, r.pairs.Own())
		r.hears(t, conn)
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for _, b := range [][]byte{
		{0x7f, 0xff, 0xff, 0xff},    // too long a frame
		{0, 0, 0, 0},                // none
		{0, 0, 0, 2, 0x99, 0},       // of no message
		{0, 0, 0, 4, 0x10, 1, 2, 3}, // of a damaged one
	} {
		ended(t, say(b))
	}
	for _, b := range [][]byte{{0, 0}, {0, 0, 1, 0, 0x10}} { // that break off
		say(b).Close()
	}
	eventually(t, "all links to be gone", func() bool {
		n, err := a.Counts(soon(t))
		return err == nil && n["fabric.links"] == 0
	})
}

func TestAForgedAdjacencyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	a, b, r := w.all[0], w.all[1], corrupt(w.all[3])
	a.start()
	b.start()
	eventually(t, "two to see each other", func() bool { return a.up() == 2 && b.up() == 2 })
	conn := r.dial(a, r.pairs.Own())
	r.hears(t, conn)
	forged := &route.Adjacency{
		Node: b.member.ID, Epoch: b.epoch, Clock: 1 << 40, Leaving: true, Card: a.Card(b.member.ID),
	}
	forged.Sig = [64]byte(ed25519.Sign(r.session, forged.SignedBytes()))
	r.say(conn, &overlay.Neighbour{High: true})
	r.say(conn, &route.Rows{Adjacencies: []*route.Adjacency{forged}})
	r.say(conn, &route.News{Items: []route.Item{{Adjacency: forged}}})
	own := &route.Adjacency{Node: r.member.ID, Epoch: 1, Clock: 1, Card: r.pairs.Own()}
	own.Sig = [64]byte(ed25519.Sign(r.session, own.SignedBytes()))
	r.say(conn, &route.News{Items: []route.Item{{Adjacency: own}}})
	eventually(t, "its own adjacency", func() bool {
		var got *route.Adjacency
		if err := a.do(soon(t), func(c *core) error { got = c.m.Table().Get(r.member.ID); return nil }); err != nil {
			t.Fatal(err)
		}
		return got != nil
	})
	if s, why := a.state(b); s != route.Up {
		t.Errorf("another's forged adjacency counts: %v %v", s, why)
	}
}

func TestWhoIsEvictedIsCutOff(t *testing.T) {
	t.Parallel()
	w := form(t, 4)
	out := w.all[3]
	w.members.Evict(out.member.ID)
	for _, h := range w.all[:3] {
		eventually(t, "it to be forgotten", func() bool {
			var linked bool
			if err := h.do(soon(t), func(c *core) error { linked = c.n.links[out.member.ID] != nil; return nil }); err != nil {
				t.Fatal(err)
			}
			return !linked && h.Card(out.member.ID) == nil && len(h.look().Members) == 3
		})
		if _, err := h.Check(soon(t), out.member.ID); crux.KindOf(err) != crux.NotFound {
			t.Errorf("it is checked: %v", err)
		}
	}
	out.stop()
	w.members.Set(w.all[0].member.ID, w.list()...)
	out.start()
	w.together() // it may come back
}

func TestAPeerThatNeverReadsCostsABoundedQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a, r := w.all[0], corrupt(w.all[1])
	a.start()
	conn := r.dial(a, r.pairs.Own())
	r.hears(t, conn)
	eventually(t, "the link", func() bool { return a.SendTo(r.member.ID, fabric.Raw("\x50")) == nil })
	m := fabric.Raw(make([]byte, 1<<20))
	m[0] = 0x50
	sent := 0
	for {
		err := a.SendTo(r.member.ID, m)
		if crux.KindOf(err) == crux.Exhausted {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if sent++; sent > 64 {
			t.Fatal("there is no end to what is queued")
		}
	}
	if r, err := a.Check(soon(t), a.member.ID); err != nil || r.State != detect.Alive {
		t.Errorf("the node is held up: %+v, %v", r, err)
	}
}

func TestAFloodCostsNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the heap, alone")
	}
	w := newWorld(t, 2)
	a, r := w.all[0], corrupt(w.all[1])
	a.start()
	at, id := a.sockets.Datagrams.LocalAddr(), a.member.ID
	flood := func(n int) {
		for i := range n {
			ask, err := r.pairs.SealHello(packet.Ask, id, packet.Nonce{byte(i)})
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				ask[1] = byte(packet.Word)
			}
			r.send(at, ask)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	flood(2000)
	before := heap()
	flood(50_000)
	if after := heap(); after > before+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
}

func TestOpenWaitsForASignature(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	h := w.all[0]
	away := &awayKeys{Keys: h.net.keys, fails: 3}
	h.net.keys = away
	h.start()
	if away.fails != 0 {
		t.Errorf("%d failures are left", away.fails)
	}
	s, err := Listen(soon(t), h.net)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Service.Close()
	cfg := h.config(inst)
	cfg.Sockets = s
	cfg.Network = &network{Confab: h.net.Confab, self: h.member, members: w.members, rows: w.rows, keys: h.ring.For("galumph2_3", crux.DefaultHorde), log: h.net.log}
	if n, err := Open(soon(t), cfg); crux.KindOf(err) != crux.Denied {
		t.Errorf("another service got the card signed: %v", err)
		if err == nil {
			n.Close()
		}
	}
}

// Who makes streams and says nothing on them is shown a card on a few, and keeps
// nobody else out.
func TestSilentStreamsOfOneMemberAreFew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a, r, b := w.all[0], corrupt(w.all[1]), w.all[2]
	a.start()
	c := a.Card(a.member.ID)
	const streams = 10
	shown := make(chan bool, streams)
	for range streams {
		conn, err := rpc.DialPinned(soon(t), r.net, crux.Endpoint{Node: c.Node, Horde: crux.DefaultHorde, Inst: c.Inst, NetID: crux.NetIDOf(c.Link)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Abort)
		go func() {
			_, err := packet.ReadFrame(conn, maxCard)
			shown <- err == nil
		}()
	}
	refused := 0
	for range streams {
		if !<-shown {
			refused++
		}
	}
	if refused == 0 || refused == streams {
		t.Errorf("%d of %d were refused", refused, streams)
	}
	b.start()
	eventually(t, "the honest ones to be neighbours", func() bool { return a.linksOf() == 1 && b.linksOf() == 1 })
}
