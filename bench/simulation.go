package main

import (
	"context"
	"fmt"
	"time"

	"fulcrum.example/bench/report"
	"fulcrum.example/flock/sim"
)

var simulation = bench{
	name: "sim", title: "Formation in virtual time", budget: 20 * time.Second, round: simulationRound,
	about: "flock/sim: all nodes of a dense subnet started over one second, no seeds, 1% loss, 20 ms round trips; from the last start until the last node " +
		"knows all members and the leader. Virtual time, exact: the same seed gives the same figure on any machine. Each round is another seed (1, 2, …). " +
		"Bytes count seals, signatures and UDP and IP headers. No peer was simulated.",
}

func simulationRound(ctx context.Context, round int, p sizes, s *report.Section) error {
	for _, n := range p.simulated {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		start := time.Now()
		r, err := sim.Run(sim.Options{Nodes: n, Seed: uint64(round + 1), Loss: 0.01, RTT: 20 * time.Millisecond})
		if err != nil {
			return err
		}
		add := func(what, unit, note string, v float64) {
			l := s.Line(fmt.Sprintf("%d nodes: %s", n, what), report.Line{Unit: unit, Note: note})
			l.Ours = append(l.Ours, report.Sample{Value: v})
		}
		add("formed after the last start", "s", "exact", r.FormedS)
		add("sent by each", "kB", "exact", r.BytesPerNode/1e3)
		add("packets sent by each", "", "exact", r.PacketsPerNode)
		add("time that the simulation took", "s", "real time", time.Since(start).Seconds())
	}
	return nil
}
