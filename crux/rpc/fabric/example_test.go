package fabric_test

import (
	"context"
	"errors"
	"fmt"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
)

// A service publishes where its backends are, and follows those of all nodes.
func Example() {
	serve := func(ctx context.Context, network crux.Node) error {
		c, err := fabric.Dial(network)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.Set("backends", "web").Add(ctx, "10.0.0.7:80"); err != nil {
			return err
		}
		for e, err := range c.Watch(ctx, fabric.Prefix("backends")) {
			if err != nil {
				return err
			}
			if e.Kind != fabric.Synced {
				fmt.Println(fabric.FormatKey(e.Key), "was", e.Old, "and is", e.New)
			}
		}
		return nil
	}
	_ = serve
}

// Increments of all nodes add up. Several updates are applied together.
func ExampleClient_Apply() {
	count := func(ctx context.Context, c *fabric.Client, web fabric.Map) error {
		name, err := fabric.NewRegister[string](web, "owner").Setting("team-web")
		if err != nil {
			return err
		}
		_, err = c.Apply(ctx, c.Counter("calls", "web").Incrementing(1), web.Set("tags").Adding("blue"), name)
		return err
	}
	_ = count
}

// A conditional update is refused if the key has changed since it was read.
func ExampleUpdate_If() {
	raise := func(ctx context.Context, c *fabric.Client) error {
		limit := fabric.NewRegister[int](c, "config", "limit")
		for {
			r, err := c.Read(ctx, "config", "limit")
			if err != nil {
				return err
			}
			n, _, err := limit.Get(ctx)
			if err != nil {
				return err
			}
			u, err := limit.Setting(n + 1)
			if err != nil {
				return err
			}
			if _, err = c.Apply(ctx, u.If(r)); crux.KindOf(err) != crux.Conflict {
				return err
			}
		}
	}
	_ = raise
}

// What changes all the time is neither signed nor kept on disk.
func ExampleClient_Volatile() {
	report := func(ctx context.Context, c *fabric.Client, depth int) error {
		return fabric.NewRegister[int](c, c.Volatile("queue", "depth")...).Set(ctx, depth)
	}
	_ = report
}

// A load balancer that failed to connect has the node checked at once.
func ExampleClient_Check() {
	suspect := func(ctx context.Context, c *fabric.Client, node crux.NodeID) (gone bool, err error) {
		r, err := c.Check(ctx, node)
		return err == nil && (r.State == fabric.Dead || r.State == fabric.Hung), err
	}
	_ = suspect
}

// A subscription hears what is sent after Subscribe has returned.
func ExampleClient_Subscribe() {
	listen := func(ctx context.Context, c *fabric.Client) error {
		s, err := c.Subscribe(ctx, "deploys")
		if err != nil {
			return err
		}
		defer s.Close()
		for m, err := range s.Messages() {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			if err != nil {
				return err
			}
			fmt.Printf("%s said: %s\n", m.ID.Origin, m.Payload)
		}
		return nil
	}
	_ = listen
}
