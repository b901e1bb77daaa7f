// Command lashup1_1 is a newer version of the event fabric, for tests that replace
// the one that is built in.
package main

import (
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/lashup"
)

func main() {
	service.Main(map[string]crux.Service{"Lashup1_1": lashup.Service("lashup1_1")})
}
