package node

import (
	"context"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
)

const (
	// askMost bounds the search for the card of a node that is to be checked.
	askMost = 400 * time.Millisecond
	// maxChecks bounds the checks under way.
	maxChecks = 1024
)

// Check finds out whether a node lives, within some half a second; almost one if
// nothing was known of it. Errors: NotFound, it is no member; Exhausted, too many
// checks are under way.
func (n *Node) Check(ctx context.Context, id crux.NodeID) (detect.Result, error) {
	const op = "check"
	if id == n.id {
		return detect.Result{Node: id, State: detect.Alive, By: id}, nil
	}
	p := n.people.Load()
	if p.keys[id] == nil {
		return detect.Result{}, errStranger(op, id)
	}
	if rows := p.rows[id]; n.pairs.Card(id) == nil && len(rows) > 0 {
		bounded, cancel := context.WithTimeout(ctx, askMost)
		defer cancel()
		// Without its card the check finds that it does not answer.
		_, _ = n.greet(bounded, id, rows[0])
	}
	out := make(chan detect.Result, 1)
	var token uint64
	err := n.do(ctx, func(c *core) error {
		if c.thawed != nil {
			return errFrozen(op)
		}
		if len(c.checks) >= maxChecks {
			return crux.Errorf(op, crux.Exhausted, "%d checks are under way, no more are taken", maxChecks)
		}
		c.token++
		token = c.token
		c.checks[token] = out
		c.apply(c.m.Check(c.n.now(), id, token))
		return nil
	})
	if err != nil {
		return detect.Result{}, err
	}
	select {
	case r := <-out:
		return r, nil
	case <-n.left:
		err = crux.Errorf(op, crux.Unavailable, "this node has left the fabric")
	case <-ctx.Done():
		err = crux.Wrap(op, ctx.Err())
	}
	n.core.enter(func(c *core) { delete(c.checks, token) })
	return detect.Result{}, err
}

// result hands a check's result to who asked for it.
func (c *core) result(r *detect.Result) {
	if out := c.checks[r.Token]; out != nil {
		delete(c.checks, r.Token)
		out <- *r // it has room for one
	}
}

// Publish multicasts a message: see cast.Request. Errors: Invalid, the request is
// wrong; NotFound, it is for a node that is no member; Exhausted, there is no room for
// it now; Unavailable, the node is being handed over.
func (n *Node) Publish(ctx context.Context, req cast.Request) (id cast.ID, err error) {
	p := n.people.Load()
	for _, o := range req.Options.Only {
		if p.keys[o] == nil {
			return id, errStranger("multicast", o)
		}
	}
	err = n.do(ctx, func(c *core) error {
		if c.thawed != nil {
			return errFrozen("publish")
		}
		got, r, err := c.m.Publish(c.n.now(), req)
		id = got
		c.apply(r)
		return err // it says what is wrong with the request, or when to ask again
	})
	return id, err
}

func errStranger(op string, id crux.NodeID) error {
	return crux.Errorf(op, crux.NotFound, "%s is no member: see 'fulcrum fabric members'", id)
}

func errFrozen(op string) error {
	return crux.Errorf(op, crux.Unavailable, "this node is being handed over to another process: ask again")
}
