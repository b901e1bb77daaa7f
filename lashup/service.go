package lashup

import (
	"log/slog"

	"fulcrum.example/crux"
)

// Lashup1_0 is the event fabric of one node, as a service routine: it runs until
// quit is closed, and hands over to a newer version that is started beside it.
func Lashup1_0(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	Service("lashup1_0")(quit, alive, network)
}

// Service is the routine of an instance version, for those that come after
// lashup1_0.
func Service(inst crux.Inst) crux.Service {
	return func(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
		log := network.Log()
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		l := &life{
			inst: inst, quit: quit, alive: alive, dir: network.Dir(), log: log, horde: network.Horde(),
			make: &factory{inst: inst, network: network, alive: alive, log: log},
		}
		if err := l.run(); err != nil {
			log.Error("lashup ended", "inst", inst, "why", err)
		}
	}
}
