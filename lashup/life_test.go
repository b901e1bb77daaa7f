package lashup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fulcrum.example/crux"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is what the fake engines of one node share: a disk that one of them
// may have open, and one of them that answers pings.
type machine struct {
	t   *testing.T
	dir string

	mu        sync.Mutex
	store     *fake // who has the store open
	answers   *fake // who answers pings
	owner     *fake // who takes writes
	handovers int
	trouble   []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "lashup-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &machine{t: t, dir: dir}
}

func (m *machine) with(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *machine) complain(format string, args ...any) {
	m.trouble = append(m.trouble, fmt.Sprintf(format, args...))
}

// process is one life on the machine.
type process struct {
	m     *machine
	inst  crux.Inst
	quit  chan bool
	alive chan []crux.Fservice
	ended chan error
	// fail, if not empty, is the stage of a take-over in which it fails.
	fail  string
	crash chan error
	life  *life

	mu    sync.Mutex
	beats []crux.Fservice
}

func (m *machine) start(inst crux.Inst, fail string) *process {
	p := &process{m: m, inst: inst, quit: make(chan bool), alive: make(chan []crux.Fservice), ended: make(chan error, 1), fail: fail, crash: make(chan error, 1)}
	l := &life{inst: inst, quit: p.quit, alive: p.alive, dir: m.dir, log: slog.New(slog.NewTextHandler(m.t.Output(), nil)), horde: crux.DefaultHorde, make: p}
	p.life = l
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for b := range p.alive {
			p.mu.Lock()
			p.beats = append(p.beats, b...)
			p.mu.Unlock()
		}
	}()
	go func() {
		err := l.run()
		close(p.alive)
		<-heard
		p.ended <- err
	}()
	return p
}

func (p *process) stop() {
	p.m.t.Helper()
	close(p.quit)
	select {
	case err := <-p.ended:
		if err != nil {
			p.m.t.Errorf("%s: %v", p.inst, err)
		}
	case <-time.After(20 * time.Second):
		p.m.t.Fatalf("%s does not end", p.inst)
	}
}

// rules waits until the process is the one that does everything.
func (p *process) rules() {
	p.m.t.Helper()
	eventually(p.m.t, string(p.inst)+" to own the fabric", func() (ok bool) {
		p.m.with(func() {
			o := p.m.owner
			ok = o != nil && o.p == p && p.m.store == o && p.m.answers == o
		})
		return ok
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
		<-time.After(time.Millisecond)
	}
}

func (p *process) open(context.Context, uint64) (engine, error) {
	f := newFake(p)
	p.m.with(func() {
		f.openFiles()
		f.thaw()
	})
	return f, nil
}

func (p *process) taking() taking { return &fakeTaking{fake: newFake(p)} }

// fake is an engine. The machine complains when two do at a time what only one
// may.
type fake struct {
	p     *process
	ended chan struct{}
}

func newFake(p *process) *fake { return &fake{p: p, ended: make(chan struct{})} }

func (f *fake) openFiles() {
	if f.p.m.store != nil {
		f.p.m.complain("%s opens the store, which %s has", f.p.inst, f.p.m.store.p.inst)
	}
	f.p.m.store = f
}

func (f *fake) thaw() {
	if f.p.m.answers != nil {
		f.p.m.complain("%s answers pings, as %s does", f.p.inst, f.p.m.answers.p.inst)
	}
	f.p.m.answers = f
}

func (f *fake) offer() offer { return offer{Inst: f.p.inst, Epoch: 7, NetID: "127.0.0.1:4000"} }

func (f *fake) own() {
	f.p.m.with(func() {
		if f.p.m.owner != nil && f.p.m.owner != f {
			f.p.m.complain("%s takes writes, as %s does", f.p.inst, f.p.m.owner.p.inst)
		}
		f.p.m.owner = f
	})
}

func (f *fake) announce(context.Context) error {
	f.p.m.with(func() { f.p.m.owner = nil })
	return nil
}

func (f *fake) closeStore() ([]byte, error) {
	f.p.m.with(func() { f.p.m.store = nil })
	return []byte("store of " + f.p.inst), nil
}

func (f *fake) freeze() ([]byte, []*os.File, error) {
	f.p.m.with(func() { f.p.m.answers = nil })
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	if _, err := w.WriteString("from " + string(f.p.inst)); err != nil {
		return nil, nil, err
	}
	return []byte("fabric of " + f.p.inst), []*os.File{r}, nil
}

func (f *fake) resume() error {
	f.p.m.with(func() {
		if f.p.m.store != f {
			f.openFiles()
		}
		if f.p.m.answers != f {
			f.thaw()
		}
	})
	f.own()
	return nil
}

func (f *fake) retire() {
	f.p.m.with(func() { f.p.m.handovers++ })
	close(f.ended)
}
func (f *fake) drained() <-chan struct{} { return f.ended }
func (f *fake) failed() <-chan error     { return f.p.crash }

func (f *fake) close() error {
	f.p.m.with(f.drop)
	return nil
}

func (f *fake) drop() {
	m := f.p.m
	for _, who := range []**fake{&m.store, &m.answers, &m.owner} {
		if *who == f {
			*who = nil
		}
	}
}

type fakeTaking struct{ *fake }

func (t *fakeTaking) engine() engine { return t.fake }

func (t *fakeTaking) stage(name string) error {
	if t.p.fail == name {
		return errors.New("fails to " + name)
	}
	return nil
}

func (t *fakeTaking) prepare(_ context.Context, o offer) error {
	if o.Epoch != 7 || o.NetID != "127.0.0.1:4000" {
		return fmt.Errorf("offered %+v", o)
	}
	return t.stage("prepare")
}

func (t *fakeTaking) openStore(state []byte) error {
	if !strings.HasPrefix(string(state), "store of ") {
		return fmt.Errorf("state %q", state)
	}
	if err := t.stage("open the store"); err != nil {
		return err
	}
	t.p.m.with(t.openFiles)
	return nil
}

func (t *fakeTaking) openFabric(state []byte, files []*os.File) error {
	if len(files) != 1 || !strings.HasPrefix(string(state), "fabric of ") {
		return fmt.Errorf("state %q, %d files", state, len(files))
	}
	defer files[0].Close()
	if b, err := io.ReadAll(files[0]); err != nil || !strings.HasPrefix(string(b), "from ") {
		return fmt.Errorf("the descriptor gives %q, %v", b, err)
	}
	if err := t.stage("open the fabric"); err != nil {
		return err
	}
	t.p.m.with(t.thaw)
	return nil
}

func (t *fakeTaking) drop() { t.p.m.with(t.fake.drop) }

func (m *machine) check() {
	m.t.Helper()
	m.with(func() {
		for _, s := range m.trouble {
			m.t.Error(s)
		}
	})
}

func TestASuccessorTakesOverAndTheOldOneIsStopped(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	old := m.start("lashup1_0", "")
	old.rules()
	next := m.start("lashup1_1", "")
	next.rules()
	eventually(t, "heartbeats of the one that stands by", func() bool {
		old.mu.Lock()
		defer old.mu.Unlock()
		return len(old.beats) > 0
	})
	old.stop()
	b := old.beats[0]
	if b.Inst != "lashup-standby1_0" || b.API != b.Inst.API() || b.Status != crux.Serving || b.NetID != "127.0.0.1:4000" {
		t.Errorf("beats %+v", b)
	}
	if last := old.beats[len(old.beats)-1]; last.Status != crux.Gone {
		t.Errorf("the last beat is %v", last.Status)
	}
	next.rules()
	third := m.start("lashup1_2", "")
	third.rules()
	next.stop()
	third.stop()
	m.check()
	if m.handovers != 2 || m.store != nil || m.answers != nil {
		t.Errorf("%d handovers; store %v, answers %v", m.handovers, m.store, m.answers)
	}
}

func TestTheOldOneIsStoppedBeforeItsSuccessorStarts(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	old := m.start("lashup1_0", "")
	old.rules()
	old.stop()
	next := m.start("lashup1_1", "")
	next.rules()
	next.stop()
	m.check()
	if m.handovers != 0 {
		t.Errorf("%d handovers", m.handovers)
	}
}

func TestASuccessorThatFailsLeavesAllToTheOldOne(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"prepare", "open the store", "open the fabric"} {
		m := newMachine(t)
		old := m.start("lashup1_0", "")
		old.rules()
		next := m.start("lashup1_1", stage)
		old.rules()
		next.stop()
		old.rules()
		good := m.start("lashup1_2", "")
		good.rules()
		good.stop()
		old.rules() // it stood by
		old.stop()
		m.check()
	}
}

func TestTheOwnerThatQuitsHandsOverToTheOneThatStandsBy(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	first := m.start("lashup1_1", "")
	first.rules()
	second := m.start("lashup1_0", "") // a step back
	second.rules()
	eventually(t, "the first to stand by", func() bool { return second.life.standing.Load() == 1 })
	second.stop()
	first.rules()
	first.stop()
	m.check()
	if m.handovers != 2 {
		t.Errorf("%d handovers", m.handovers)
	}
}

func TestWhoStandsByTakesTheFabricOfAnOwnerThatCrashed(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	old := m.start("lashup1_0", "")
	old.rules()
	next := m.start("lashup1_1", "")
	next.rules()
	next.crash <- errors.New("it burns")
	if err := <-next.ended; err == nil {
		t.Error("the crash is not reported")
	}
	old.rules()
	old.stop()
	m.check()
}

func TestTheDoorRefusesStrangers(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	old := m.start("lashup1_0", "")
	old.rules()
	token, err := tokenOf(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(m.dir, doorName)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	for why, h := range map[string]hello{
		"the token is not this service's": {Version: handoverVersion, Token: make([]byte, tokenBytes)},
		"version 9 of the handover":       {Version: 9, Token: token},
	} {
		var c *channel
		eventually(t, "the door", func() bool {
			c, err = dialOwner(t.Context(), path, h)
			return err == nil
		})
		if _, err := c.expect(kindOffer, helloPatience); crux.KindOf(err) != crux.Denied || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
		c.Close()
	}
	old.rules()
	old.stop()
	m.check()
}

func TestATakerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	old := m.start("lashup1_0", "")
	old.rules()
	token, err := tokenOf(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	var c *channel
	eventually(t, "the door", func() bool {
		c, err = dialOwner(t.Context(), filepath.Join(m.dir, doorName), hello{Version: handoverVersion, Token: token})
		return err == nil
	})
	defer c.Close()
	var o offer
	if err := c.receive(kindOffer, helloPatience, &o); err != nil {
		t.Fatal(err)
	}
	if _, err := c.answer(kindReady, kindStore); err != nil {
		t.Fatal(err)
	}
	letter, err := c.answer(kindOpened, kindFabric)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(letter.files)
	old.rules() // after a second without an answer
	if _, err := c.answer(kindServing, kindYours); err == nil {
		t.Error("what was taken back is given")
	}
	old.stop()
	m.check()
}
