package pastiche

import (
	"context"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
)

// Pastiche1_0 is the service routine (a crux.Service) under which picket lists
// this Pastiche as a built-in. The Pastiche itself works from Open to Close, for
// dean needs it before and after.
func (p *Pastiche) Pastiche1_0(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	untilQuit := func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
	rpc.Builtin(Inst, p.cfg.Clock, untilQuit, quit, alive, network)
}
