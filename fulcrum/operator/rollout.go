package operator

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/protos/admin"
)

// Progress is how far an intent has come.
type Progress struct {
	Done       bool
	Want       int
	Serving    int    // endpoints of the wanted instance that serve
	Old        int    // endpoints of other instances of the API that still serve
	WaitingFor string // the reasons, in one line, or empty
}

// String says it in one line.
func (p Progress) String() string {
	s := fmt.Sprintf("%d of %d serve", p.Serving, p.Want)
	if p.Old > 0 {
		s += fmt.Sprintf(", %d of other versions still do", p.Old)
	}
	if p.WaitingFor != "" {
		s += "; waiting: " + p.WaitingFor
	}
	return s
}

// Rollout says that count nodes should run inst and none another version of its
// API. It returns the version of the intent once the group has it on disk;
// Follow waits for the nodes to conform.
func (c *Client) Rollout(ctx context.Context, horde crux.Horde, inst crux.Inst, count int, keys []ed25519.PrivateKey) (version uint64, err error) {
	if count < 0 {
		return 0, crux.Errorf("rollout", crux.Invalid, "a count of %d: want 0 or more", count)
	}
	f, err := c.doc(ctx, crux.DocKey{Kind: crux.MusterDoc, Name: crux.MusterName(horde, inst)})
	if err != nil {
		return 0, err
	}
	if f == nil {
		return 0, crux.Errorf("rollout", crux.NotFound,
			"%s is not published in horde %s: publish it first with 'fulcrum publish FILE --inst %s --func NAME'", inst, horde, inst)
	}
	want := crux.Intent{Horde: horde, API: inst.API(), Inst: inst, Count: count, Timestamp: time.Now().UTC().Truncate(time.Millisecond)}
	key := crux.DocKey{Kind: crux.IntentDoc, Name: crux.IntentName(horde, inst.API())}
	old, err := c.doc(ctx, key)
	if err != nil {
		return 0, err
	}
	version = 1
	if old != nil {
		version = old.Version + 1
	}
	return version, c.signAndPropose(ctx, key, version, want, keys)
}

// Follow reports how an intent comes along, several times a second, until it is
// done or ctx ends; then it says what it was waiting for. It outlives changes of
// leader and restarts of the node.
func (c *Client) Follow(ctx context.Context, horde crux.Horde, inst crux.Inst, version uint64, report func(Progress)) error {
	var last Progress
	retry := time.NewTicker(200 * time.Millisecond)
	defer retry.Stop()
	for {
		err := c.follow(ctx, &admin.ProgressRequest{Horde: string(horde), Api: string(inst.API()), Version: version}, &last, report)
		switch {
		case last.Done:
			return nil
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return crux.Errorf("rollout", crux.Timeout, "%s is not done in time: %v; the intent stands, and the nodes go on", inst, last)
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && crux.KindOf(err) != crux.Unavailable && crux.KindOf(err) != crux.Timeout:
			return err
		}
		select { // the leader moved, or the node is being replaced: ask again
		case <-retry.C:
		case <-ctx.Done():
		}
	}
}

func (c *Client) follow(ctx context.Context, req *admin.ProgressRequest, last *Progress, report func(Progress)) error {
	s, err := c.rpc.Progress(ctx, req)
	if err != nil {
		return c.said(err)
	}
	for {
		r, err := s.Recv()
		if err != nil {
			return c.said(err)
		}
		p := Progress{r.GetDone(), int(r.GetWant()), int(r.GetServing()), int(r.GetOld()), r.GetWaitingFor()}
		*last = p
		report(p)
		if p.Done {
			return nil
		}
	}
}
