package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/plain"
	"fulcrum.example/bench/report"
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	pb "fulcrum.example/protos/galumph"
)

const (
	plainGRPC = "grpc-go, mutual TLS 1.3"
	callers   = 16  // at once, on one connection
	block     = 100 // calls of one side before the other's turn
	turns     = 20  // of the time for calls at once
	inst      = crux.Inst("galumph2_3")
)

var calls = bench{
	name: "rpc", title: "Calls", budget: 20 * time.Second, round: callsRound,
	about: "A client on one node and galumph2_3 on another, both in one process, over loopback. Ours: rpc.Connect with the selector galumph2, over two " +
		"nodes that are a flock with registry and real keys, warm (the registry knows the service, the endpoint keys are derived). The peer: the same " +
		"handlers served and dialled by grpc-go alone, with certificates of one authority, no session tickets, and the same key exchange (X25519MLKEM768 is " +
		"Go's default). Dial: from nothing to the answer of the first call, in pairs, the order changing with each. Calls: one after the other in " +
		"alternating blocks of 100; then from 16 goroutines on one connection, in alternating slices. CPU and allocations are those of client and server together.",
}

// side is one of the two that are compared.
type side struct {
	name string
	dial func() (*grpc.ClientConn, error)

	conn   *grpc.ClientConn
	client pb.GalumphClient
}

func callsRound(ctx context.Context, round int, p sizes, s *report.Section) error {
	dir, err := os.MkdirTemp("", "fulcrum-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	peer, err := plain.Serve(registerGalumph)
	if err != nil {
		return err
	}
	defer peer.Close()
	return withBed(ctx, bed.Options{Nodes: 2, Registry: true, Dir: dir}, func(b *bed.Bed, start time.Time) error {
		server, err := b.Nodes[1].Serve(ctx, inst, registerGalumph)
		if err != nil {
			return err
		}
		defer server.Close()
		client := b.Nodes[0]
		sel := crux.Selector{Horde: crux.DefaultHorde, API: inst.API()}
		if err := mustReach(ctx, reach{start: start, limit: joinLimit, every: time.Millisecond, n: 1, ok: func(int) bool {
			found := client.Reeve.Lookup(sel)
			return found.Whole && len(found.Rows) == 1
		}}, "the service to be in the registry"); err != nil {
			return err
		}
		n := client.As("bench")
		return compareCalls(ctx, round, p, s,
			&side{name: "ours", dial: func() (*grpc.ClientConn, error) { return rpc.Connect(n, sel, 0) }},
			&side{name: "grpc-go", dial: peer.Dial})
	})
}

// mustReach waits for what has to come before anything can be measured.
func mustReach(ctx context.Context, r reach, what string) error {
	_, all, err := r.wait(ctx)
	if err == nil && all.Over {
		err = fmt.Errorf("waited %s in vain for %s", r.limit, what)
	}
	return err
}

func compareCalls(ctx context.Context, round int, p sizes, s *report.Section, ours, peer *side) error {
	line := func(what, unit string) *report.Line {
		return s.Line(what, report.Line{Unit: unit, PeerName: plainGRPC})
	}
	both := []*side{ours, peer}
	if round%2 == 1 {
		both = []*side{peer, ours}
	}
	a, b, err := compareDials(ctx, p.dials, ours, peer)
	if err != nil {
		return err
	}
	line("dial and first answer, warm", "ms").Add(scale(a, 1e3), scale(b, 1e3))
	for _, x := range both {
		if x.conn, err = x.dial(); err != nil {
			return err
		}
		defer x.conn.Close()
		x.client = pb.NewGalumphClient(x.conn)
		if _, err := x.sequence(ctx, block); err != nil { // warm up
			return err
		}
	}
	latency, allocs, err := compareSequences(ctx, p.calls, both)
	if err != nil {
		return err
	}
	line("one call", "µs").Add(scale(latency[ours], 1e6), scale(latency[peer], 1e6))
	line("allocations a call", "").Add(allocs[ours], allocs[peer])
	rate, cpu, err := compareLoads(ctx, p.load, ours, peer)
	if err != nil {
		return err
	}
	l := line(fmt.Sprintf("throughput, %d at once", callers), "calls/s")
	l.More = true
	l.Add(rate[ours], rate[peer])
	line(fmt.Sprintf("CPU a call, %d at once", callers), "µs").Add(scale(cpu[ours], 1e6), scale(cpu[peer], 1e6))
	return nil
}

// compareDials gives the median time of n first calls, dialled in pairs.
func compareDials(ctx context.Context, n int, ours, peer *side) (a, b report.Sample, err error) {
	took := map[*side][]report.Sample{}
	for i := range n + 2 { // the first of each is not warm
		err := inOrder(i, ours, peer, func(x *side) error {
			d, err := x.firstCall(ctx)
			if i >= 2 {
				took[x] = append(took[x], seconds(d))
			}
			return err
		})
		if err != nil {
			return a, b, err
		}
	}
	return report.Median(took[ours]), report.Median(took[peer]), nil
}

func inOrder(i int, ours, peer *side, f func(*side) error) error {
	if i%2 == 1 {
		ours, peer = peer, ours
	}
	if err := f(ours); err != nil {
		return fmt.Errorf("%s: %w", ours.name, err)
	}
	if err := f(peer); err != nil {
		return fmt.Errorf("%s: %w", peer.name, err)
	}
	return nil
}

// firstCall dials, calls, and hangs up; the last is not counted.
func (x *side) firstCall(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	conn, err := x.dial()
	if err != nil {
		return 0, err
	}
	_, err = pb.NewGalumphClient(conn).Register(ctx, request, grpc.WaitForReady(true))
	took := time.Since(start)
	if cerr := conn.Close(); err == nil {
		err = cerr
	}
	return took, err
}

// compareSequences gives the median block's time a call, and the allocations a
// call.
func compareSequences(ctx context.Context, n int, both []*side) (latency, allocs map[*side]report.Sample, err error) {
	blocks, objects := map[*side][]report.Sample{}, map[*side]uint64{}
	rounds := max(1, n/block)
	for i := range rounds {
		err := inOrder(i, both[0], both[1], func(x *side) error {
			before := allocations()
			d, err := x.sequence(ctx, block)
			objects[x] += allocations() - before
			blocks[x] = append(blocks[x], seconds(d/block))
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	latency, allocs = map[*side]report.Sample{}, map[*side]report.Sample{}
	for _, x := range both {
		latency[x] = report.Median(blocks[x])
		allocs[x] = report.Sample{Value: float64(objects[x]) / float64(rounds*block)}
	}
	return latency, allocs, nil
}

// sequence makes n calls one after the other.
func (x *side) sequence(ctx context.Context, n int) (time.Duration, error) {
	start := time.Now()
	for range n {
		if _, err := x.client.Register(ctx, request, grpc.WaitForReady(true)); err != nil {
			return 0, fmt.Errorf("%s: %w", x.name, err)
		}
	}
	return time.Since(start), nil
}

// compareLoads lets each side be called from many goroutines at once for d, in
// slices that alternate, and gives the medians of the slices.
func compareLoads(ctx context.Context, d time.Duration, ours, peer *side) (rate, cpu map[*side]report.Sample, err error) {
	rates, cpus := map[*side][]report.Sample{}, map[*side][]report.Sample{}
	for i := range turns {
		err := inOrder(i, ours, peer, func(x *side) error {
			r, c, err := x.load(ctx, d/turns)
			rates[x], cpus[x] = append(rates[x], r), append(cpus[x], c)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	rate, cpu = map[*side]report.Sample{}, map[*side]report.Sample{}
	for _, x := range []*side{ours, peer} {
		rate[x], cpu[x] = report.Median(rates[x]), report.Median(cpus[x])
	}
	return rate, cpu, nil
}

// load calls from many goroutines at once, and gives the calls a second and the
// processor time of each.
func (x *side) load(ctx context.Context, d time.Duration) (rate, cpu report.Sample, err error) {
	made, errs := make([]int, callers), make([]error, callers)
	start, before := time.Now(), cpuSeconds()
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			for errs[i] == nil && time.Since(start) < d {
				_, errs[i] = x.client.Register(ctx, request)
				made[i]++
			}
		})
	}
	group.Wait()
	took, used, sum := time.Since(start), cpuSeconds()-before, 0
	for i := range callers {
		if errs[i] != nil {
			return rate, cpu, fmt.Errorf("%s: %w", x.name, errs[i])
		}
		sum += made[i]
	}
	return report.Sample{Value: float64(sum) / took.Seconds()}, report.Sample{Value: used / float64(sum)}, nil
}

var request = &pb.GalumphInstance{Name: "jabberwock", Place: "tulgey wood"}

type galumph struct{ pb.UnimplementedGalumphServer }

func (galumph) Register(context.Context, *pb.GalumphInstance) (*pb.RegisterResp, error) {
	return &pb.RegisterResp{Inst: string(inst), Total: 1}, nil
}

func registerGalumph(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, galumph{}) }
