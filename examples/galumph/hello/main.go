// Command hello calls galumph once:
//
//	go run ./examples/galumph/hello DIR/fulcrum.sock
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/service"
	pb "fulcrum.example/protos/galumph"
)

func hello(ctx context.Context, socket string) error {
	network, err := service.Attach(ctx, socket, "galumph-hello")
	if err != nil {
		return err
	}
	defer network.Close()
	conn, err := rpc.Connect(network, crux.Selector{API: "galumph2"}, 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	r, err := pb.NewGalumphClient(conn).Register(ctx, &pb.GalumphInstance{Name: "jabberwock", Place: "tulgey wood"})
	fmt.Println(r.GetInst(), "on node", r.GetNode(), "has registered", r.GetTotal())
	return err
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if len(os.Args) != 2 {
		log.Fatal("usage: hello SOCKET")
	}
	if err := hello(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}
