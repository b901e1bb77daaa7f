// Command client calls galumph without pause and counts: which version
// answered, and what failed. It prints a line of JSON every so often and one
// more at its end, which comes after -duration, at SIGINT or SIGTERM, or when
// its stdin closes under -stdin.
//
//	go run ./examples/galumph/client -socket DIR/fulcrum.sock -duration 10s
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/service"
	pb "fulcrum.example/protos/galumph"
)

type config struct {
	socket, caller, selector string
	duration, rescan         time.Duration
	report, pause, deadline  time.Duration
	workers, registerEvery   int
	stdin                    bool
}

func main() {
	var c config
	flag.StringVar(&c.socket, "socket", os.Getenv("FULCRUM_SOCKET"), "the node's fulcrum.sock")
	flag.StringVar(&c.caller, "caller", "galumph-client", "the name to attach under: allow rules know the client by it")
	flag.StringVar(&c.selector, "selector", "galumph2", "what to call: [HORDE/]API or INST")
	flag.DurationVar(&c.duration, "duration", 0, "how long to call; 0: until a signal")
	flag.DurationVar(&c.rescan, "rescan", 0, "how long a better instance may be left unused; 0: not at all")
	flag.DurationVar(&c.report, "report", 100*time.Millisecond, "how often to print the counts")
	flag.DurationVar(&c.pause, "pause", 2*time.Millisecond, "how long each worker rests after a call")
	flag.DurationVar(&c.deadline, "deadline", 10*time.Second, "how long a call may take")
	flag.IntVar(&c.workers, "workers", 4, "how many call at the same time")
	flag.IntVar(&c.registerEvery, "register-every", 2, "every so many calls is a Register, the others are a Table")
	flag.BoolVar(&c.stdin, "stdin", false, "end when stdin is closed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, stop, c, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

// run attaches, connects, calls until ctx ends, and reports to out.
func run(ctx context.Context, stop func(), c config, out io.Writer) error {
	if c.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.duration)
		defer cancel()
	}
	if c.stdin {
		go func() { // ends with the process: a read of stdin cannot be called off
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	sel, err := crux.ParseSelector(c.selector)
	if err != nil {
		return err
	}
	attach, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	network, err := service.Attach(attach, c.socket, c.caller)
	if err != nil {
		return err
	}
	defer network.Close()
	conn, err := rpc.Connect(network, sel, c.rescan)
	if err != nil {
		return err
	}
	defer conn.Close()

	k := newCounter()
	called := make(chan struct{})
	go func() {
		defer close(called)
		k.call(ctx, pb.NewGalumphClient(conn), c)
	}()
	tick := time.NewTicker(max(c.report, time.Millisecond))
	defer tick.Stop()
	lines := json.NewEncoder(out)
	for {
		select {
		case <-tick.C:
			if err := lines.Encode(k.report(false)); err != nil {
				return err
			}
		case <-called:
			return lines.Encode(k.report(true))
		}
	}
}
