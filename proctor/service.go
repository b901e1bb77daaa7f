package proctor

import (
	"context"
	"sync"
	"time"

	"fulcrum.example/crux"
)

// Beats of a built-in on the node port: how often, and how long each holds.
const (
	beatEvery = 5 * time.Second
	beatHolds = 15 * time.Second
)

// Proctor1_0 is the service routine (a crux.Service): it runs the Proctor until
// quit, and beats for the node port, where it is registered.
func (p *Proctor) Proctor1_0(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	Routine(API, Inst, p.cfg.Clock, p.Run, quit, alive, network)
}

// Routine is the service routine of a built-in whose endpoint is the node port:
// it runs until quit is closed or run returns, and beats all the while.
func Routine(api crux.API, inst crux.Inst, clock crux.Clock, run func(context.Context) error,
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
			Horde: network.Horde(), API: api, Inst: inst, NetID: crux.NetIDOf(network.Addr()),
			Flock: network.Members().View().Flock, Issued: now, ValidUntil: now.Add(beatHolds),
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
		case <-clock.After(beatEvery):
		case <-quit:
			return
		case <-ended:
			return
		}
	}
}
