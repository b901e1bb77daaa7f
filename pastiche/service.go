package pastiche

import (
	"fulcrum.example/crux"
	"time"
)

// Beats of a built-in on the node port: how often, and how long each holds.
const (
	beatEvery = 5 * time.Second
	beatHolds = 15 * time.Second
)

// Pastiche1_0 is the service routine (a crux.Service) under which picket lists
// this Pastiche as a built-in: its endpoint is the node port. The Pastiche
// itself works from Open to Close, for dean needs it before and after.
func (p *Pastiche) Pastiche1_0(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	for {
		now := p.cfg.Clock.Now()
		beat := crux.Fservice{
			Horde: network.Horde(), API: API, Inst: Inst, NetID: crux.NetIDOf(network.Addr()),
			Flock: network.Members().View().Flock, Issued: now, ValidUntil: now.Add(beatHolds),
			Status: crux.Serving,
		}
		select {
		case alive <- []crux.Fservice{beat}:
		case <-quit:
			return
		}
		select {
		case <-p.cfg.Clock.After(beatEvery):
		case <-quit:
			return
		}
	}
}
