package rpc

import (
	"context"
	"sync"
	"time"

	"fulcrum.example/crux"
)

// Beats of a built-in: how often, and how long each holds.
const (
	builtinBeat  = 5 * time.Second
	builtinHolds = 15 * time.Second
)

// Builtin is the service routine of a built-in whose endpoint is the node port:
// it calls run, and beats until quit is closed or run returns, which it does
// when its context ends. Builtin returns after run.
func Builtin(inst crux.Inst, clock crux.Clock, run func(context.Context) error,
	quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	ended := make(chan struct{})
	group.Go(func() {
		defer close(ended)
		if err := run(ctx); err != nil {
			network.Log().Error("a built-in service ended", "inst", inst, "err", err)
		}
	})
	for {
		now := clock.Now()
		beat := crux.Fservice{
			Horde: network.Horde(), API: inst.API(), Inst: inst, NetID: crux.NetIDOf(network.Addr()),
			Flock: network.Members().View().Flock, Issued: now, ValidUntil: now.Add(builtinHolds),
			Status: crux.Serving,
		}
		select {
		case alive <- []crux.Fservice{beat}:
		case <-quit:
			return
		case <-ended:
			return
		}
		select {
		case <-clock.After(builtinBeat):
		case <-quit:
			return
		case <-ended:
			return
		}
	}
}
