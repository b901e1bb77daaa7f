package proctor

import (
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
)

// Proctor1_0 is the service routine (a crux.Service): it runs the Proctor until
// quit, and beats for the node port, where it is registered.
func (p *Proctor) Proctor1_0(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	rpc.Builtin(Inst, p.cfg.Clock, p.Run, quit, alive, network)
}
