// Command galumph2_3 is version 2.3 of galumph as an executable:
//
//	go build -o galumph2_3 ./examples/galumph/galumph2_3
//	fulcrum publish galumph2_3 --api galumph2 --inst galumph2_3 --func Galumph2_3
package main

import (
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/examples/galumph"
)

func main() {
	service.Main(map[string]crux.Service{"Galumph2_3": galumph.Galumph2_3})
}
