package lashup

import (
	"context"
	"net"
	"os"
	"time"

	"fulcrum.example/crux"
)

// A process that starts where another owns the node's fabric takes it over from
// that one, over the unix socket in the service's folder:
//
//	taker                            owner
//	Hello (token, version, when)  →
//	                              ←  Offer (epoch, address)
//	… loads what it can …
//	Ready                         →
//	                                 writes are refused, watchers are told
//	                              ←  Store (state; the files are closed)
//	… opens the store …
//	Opened                        →
//	                                 the fabric stands still
//	                              ←  Fabric (state; sockets; the lock)
//	… answers pings, serves …
//	Serving                       →
//	                              ←  Yours
//
// With Yours, which is written before the owner forgets anything, the taker is
// the owner. Until then the owner takes everything back if the connection breaks
// or the taker is too slow, and a taker that does not get it lets go of
// everything. Both leave a gap in their numbers (of datagrams, adjacencies) that
// the other may have used meanwhile; the taker applies no write before Yours.
//
// A process that gave the fabric away waits until it is asked to quit, and asks
// the owner meanwhile to be the next when that one quits (Hello with Later).

// when a taker wants the fabric.
type when uint8

const (
	atOnce when = iota
	later       // when the owner quits
)

// hello is the taker's first word.
type hello struct {
	Version int       `json:"version"` // of the handover protocol
	Token   []byte    `json:"token"`
	Inst    crux.Inst `json:"inst"`
	When    when      `json:"when"`
}

// handoverVersion is the version of the protocol. An owner refuses one that it
// does not know; the taker then waits until the owner ends.
const handoverVersion = 1

// offer is the owner's answer.
type offer struct {
	Inst  crux.Inst  `json:"inst"`
	Epoch uint64     `json:"epoch"`
	NetID crux.NetID `json:"netid"` // where it serves, and the taker will
}

// The bounds of each stage.
const (
	helloPatience = 2 * time.Second
	loadPatience  = 2 * time.Minute  // for the taker to load a large store, while the owner works
	storePatience = 30 * time.Second // for the store to be opened
	frozenMost    = time.Second      // for the taker to serve, while nobody answers pings
)

// owner is what a process does that gives the fabric away.
type owner interface {
	offer() offer
	// announce refuses writes from now on, tells watchers, and waits for the
	// writes under way.
	announce(ctx context.Context) error
	// closeStore gives the store's state; its files are closed and synced.
	closeStore() ([]byte, error)
	// freeze gives the fabric's state, and descriptors that are the caller's to
	// close; nothing is sent or received any more.
	freeze() ([]byte, []*os.File, error)
	// resume takes back what was given, whatever of it was.
	resume() error
}

// taker is what a process does that takes the fabric over.
type taker interface {
	// prepare does what can be done while the owner works.
	prepare(ctx context.Context, o offer) error
	openStore(state []byte) error
	// openFabric owns the files. It answers pings and serves when it returns.
	openFabric(state []byte, files []*os.File) error
	// drop lets go of everything.
	drop()
}

// give hands the fabric to the taker at the other end of a connection that has
// said its hello. paused is for how long nobody took writes. After an error the
// owner has everything back.
func give(ctx context.Context, c *channel, o owner) (paused time.Duration, err error) {
	gave := false
	defer func() {
		if err != nil && gave {
			c.Close() // the taker lets go of everything
			if again := o.resume(); again != nil {
				err = crux.Errorf("hand over", crux.Internal, "%w; and what was given could not be taken back: %w", err, again)
			}
		}
	}()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := c.send(kindOffer, o.offer()); err != nil {
		return 0, err
	}
	if _, err := c.expect(kindReady, loadPatience); err != nil {
		return 0, err
	}
	gave = true
	began := time.Now()
	err = giveAll(ctx, c, o)
	return time.Since(began), err
}

// giveAll is give, from the moment when writes are refused.
func giveAll(ctx context.Context, c *channel, o owner) error {
	announce, cancel := context.WithTimeout(ctx, helloPatience)
	defer cancel()
	if err := o.announce(announce); err != nil {
		return err
	}
	state, err := o.closeStore()
	if err != nil {
		return err
	}
	if err := c.write(kindStore, state, nil); err != nil {
		return err
	}
	if _, err := c.expect(kindOpened, storePatience); err != nil {
		return err
	}
	state, files, err := o.freeze()
	defer closeAll(files)
	if err != nil {
		return err
	}
	if err := c.write(kindFabric, state, files); err != nil {
		return err
	}
	if _, err := c.expect(kindServing, frozenMost); err != nil {
		return err
	}
	return c.write(kindYours, nil, nil)
}

// take gets the fabric from the owner at the other end of c, which has been sent
// hello and makes its offer within patience. After an error nothing of it is
// kept.
func take(ctx context.Context, c *channel, t taker, patience time.Duration) (err error) {
	defer func() {
		if err != nil {
			t.drop()
		}
	}()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	var o offer
	if err := c.receive(kindOffer, patience, &o); err != nil {
		return err
	}
	prepare, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	if err := t.prepare(prepare, o); err != nil {
		return err
	}
	m, err := c.answer(kindReady, kindStore)
	if err != nil {
		return err
	}
	if err := t.openStore(m.body); err != nil {
		return err
	}
	if m, err = c.answer(kindOpened, kindFabric); err != nil {
		return err
	}
	if err := t.openFabric(m.body, m.files); err != nil {
		return err
	}
	_, err = c.answer(kindServing, kindYours)
	return err
}

// answer says that a stage is done and waits for the next.
func (c *channel) answer(done, next byte) (letter, error) {
	if err := c.write(done, nil, nil); err != nil {
		return letter{}, err
	}
	return c.expect(next, storePatience)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// dialOwner connects to the owner's socket and says hello.
func dialOwner(ctx context.Context, path string, h hello) (*channel, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, crux.Errorf("take over", crux.Unavailable, "%w", err)
	}
	c := &channel{conn.(*net.UnixConn)}
	if err := c.send(kindHello, h); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
