// Command service is the executable form of testdata/plugin.
package main

import (
	_ "net/http" // with cgo, this links the C library: the loader must be within reach
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/service"
)

func main() {
	service.Main(map[string]crux.Service{"Beat": func(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
		select {
		case alive <- []crux.Fservice{{
			Horde: network.Horde(), API: "beat1", Inst: crux.Inst(network.Service()), NetID: "127.0.0.1:1",
			Issued: time.Unix(1, 0), ValidUntil: time.Unix(2, 0),
		}}:
			<-quit
		case <-quit:
		}
	}})
}
