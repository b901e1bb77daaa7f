package picket

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/picket/run"
	"fulcrum.example/picket/socket"
)

// child is a unit's process with its socket.
type child struct {
	p       *Picket
	u       *unit
	process *run.Child
	socket  *socket.Child
	logFrom int64 // where in its log this process began
	once    sync.Once
}

// begin starts an instance of u.
func (p *Picket) begin(ctx context.Context, u *unit, restarts int) (instance, error) {
	dir, err := p.serviceDir(u)
	if err != nil {
		return nil, err
	}
	if u.Kind == crux.Builtin {
		return p.beginRoutine(u, dir)
	}
	return p.beginChild(ctx, u, dir, restarts)
}

// beginChild fetches the artifact, if the unit has one, listens on a new socket,
// and starts the process. Its socket is answered, without which it serves
// nothing, only when the process is on record: what serves, the next fulcrum
// finds. The artifact is pinned until release.
func (p *Picket) beginChild(ctx context.Context, u *unit, dir string, restarts int) (_ instance, err error) {
	p.pin(u)
	defer func() {
		if err != nil {
			p.unpin(u)
		}
	}()
	var artifact string
	if u.Kind.HasArtifact() {
		if artifact, err = p.cfg.Artifacts.Fetch(ctx, u.Checksum); err != nil {
			return nil, err
		}
	}
	log := p.Logs(u.Key())
	if err := p.rotate(log); err != nil {
		return nil, err
	}
	path, err := p.newSocket()
	if err != nil {
		return nil, err
	}
	var token [32]byte
	if _, err := rand.Read(token[:]); err != nil {
		return nil, crux.Wrap("make token", err)
	}
	l, err := socket.Listen(path)
	if err != nil {
		return nil, err
	}
	logFrom := size(log)
	process, err := run.Start(run.Spec{
		Self: p.cfg.Self, Unit: u.Unit, Artifact: artifact, Socket: path, Token: token, Dir: dir, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	r := record{
		Unit: u.Unit, PID: process.PID(), StartTime: process.StartTime(), Boot: bootID(), Token: hex.EncodeToString(token[:]),
		Socket: filepath.Base(path), LogFrom: logFrom, Restarts: restarts,
	}
	if err := u.record(&r); err != nil {
		p.cfg.Log.Error("a child is not recorded; it is tried again, for the next fulcrum would not find it", "inst", u.Inst, "pid", r.PID, "why", err)
	}
	p.cfg.Log.Info("a unit is started", "inst", u.Inst, "horde", u.Horde, "pid", r.PID, "artifact", u.Checksum, "log", log)
	return &child{p: p, u: u, process: process, socket: p.answer(l, u, dir, r.Token), logFrom: logFrom}, nil
}

// pin keeps the artifact of a unit that runs in the cache.
func (p *Picket) pin(u *unit) {
	if u.Kind.HasArtifact() {
		p.cfg.Artifacts.Pin(u.Checksum)
	}
}

func (p *Picket) unpin(u *unit) {
	if u.Kind.HasArtifact() {
		p.cfg.Artifacts.Unpin(u.Checksum)
	}
}

// answer serves a child's socket; its beats count from now on.
func (p *Picket) answer(l net.Listener, u *unit, dir, token string) *socket.Child {
	k := u.Key()
	p.beats.Join(k)
	return socket.Serve(l, p.socketConfig(), socket.ChildConfig{
		Unit: u.Unit, Dir: dir, Token: token, Log: p.cfg.Log,
		Beats: func(b []crux.Fservice) { p.beats.Beat(k, b) },
	})
}

func (p *Picket) socketConfig() socket.Config {
	return socket.Config{
		ID: p.cfg.ID, Addr: p.cfg.Confab.Addr(), Registry: p.cfg.Registry, Members: p.cfg.Members,
		KeysFor: p.cfg.KeysFor, Lease: p.cfg.Lease,
	}
}

func (c *child) pid() int              { return c.process.PID() }
func (c *child) done() <-chan struct{} { return c.process.Done() }

// err says how the process ended and what it said last. It names nothing of this
// node: the same failure reads the same on all of them.
func (c *child) err() error {
	how := "it ended with status 0 without being asked to"
	if err := c.process.Err(); err != nil {
		how = err.Error()
	}
	if said := lastWords(c.p.Logs(c.u.Key()), c.logFrom, string(c.u.Inst)); said != "" {
		how += "; it said: " + said
	}
	return crux.Errorf("", crux.Internal, "%s", how)
}

func (c *child) quit(deadline time.Time) { c.socket.Quit(deadline) }

func (c *child) signal(s syscall.Signal) {
	err := c.process.Signal(s)
	if err != nil && crux.KindOf(err) != crux.NotFound {
		c.p.cfg.Log.Error("a child cannot be signalled", "inst", c.u.Inst, "pid", c.pid(), "signal", s, "why", err)
	}
}

// release closes the socket, so that no late beat is heard, and stops watching.
func (c *child) release() {
	c.once.Do(func() {
		c.socket.Close()
		if err := c.process.Close(); err != nil {
			c.p.cfg.Log.Warn("a child's handle does not close", "inst", c.u.Inst, "pid", c.pid(), "why", err)
		}
		c.p.unpin(c.u)
	})
}

// deathPatience bounds how long a killed process may take to be gone.
const deathPatience = 2 * time.Second

// discard ends a process that was never listened to, and what it started.
func (c *child) discard() {
	c.signal(syscall.SIGKILL)
	select {
	case <-c.process.Done():
	case <-time.After(deathPatience):
		c.p.cfg.Log.Error("a child does not die; it is left behind", "inst", c.u.Inst, "pid", c.pid())
	}
	if err := c.process.Close(); err != nil {
		c.p.cfg.Log.Warn("a child's handle does not close", "inst", c.u.Inst, "pid", c.pid(), "why", err)
	}
}
