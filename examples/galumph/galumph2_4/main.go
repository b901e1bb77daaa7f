// Command galumph2_4 is version 2.4 of galumph as an executable:
//
//	go build -o galumph2_4 ./examples/galumph/galumph2_4
//	fulcrum publish galumph2_4 --api galumph2 --inst galumph2_4 --func Galumph2_4
package main

import (
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/examples/galumph"
)

func main() {
	service.Main(map[string]crux.Service{"Galumph2_4": galumph.Galumph2_4})
}
