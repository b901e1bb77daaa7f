// Command plugin is a Go plugin for tests.
package main

import (
	"time"

	"fulcrum.example/crux"
)

// Beat is a service that sends one heartbeat and waits to be told to quit.
func Beat(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	select {
	case alive <- []crux.Fservice{{
		Horde: network.Horde(), API: "beat1", Inst: crux.Inst(network.Service()), NetID: "127.0.0.1:1",
		Issued: time.Unix(1, 0), ValidUntil: time.Unix(2, 0),
	}}:
		<-quit
	case <-quit:
	}
}

// Held is the same in a variable.
var Held crux.Service = Beat

// Empty holds no function.
var Empty crux.Service

// Number is no service.
var Number = 3

func main() {}
