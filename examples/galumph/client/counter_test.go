package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	pb "fulcrum.example/protos/galumph"
)

// scripted answers from 2_3 and then 2_4; every tenth Register is lost.
type scripted struct{ calls, registers atomic.Int64 }

func (s *scripted) inst() string {
	if s.calls.Add(1) <= 50 {
		return "galumph2_3"
	}
	return "galumph2_4"
}

func (s *scripted) Register(context.Context, *pb.GalumphInstance, ...grpc.CallOption) (*pb.RegisterResp, error) {
	if s.registers.Add(1)%10 == 0 {
		return nil, crux.Errorf("register", crux.Unavailable, "%w", errors.New("gone"))
	}
	return &pb.RegisterResp{Inst: s.inst(), Node: "n"}, nil
}

func (s *scripted) Table(context.Context, *pb.TableReq, ...grpc.CallOption) (*pb.TableResp, error) {
	return &pb.TableResp{Inst: s.inst(), Node: "n"}, nil
}

func TestCounterAddsUp(t *testing.T) {
	t.Parallel()
	s, k := &scripted{}, newCounter()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.call(ctx, s, config{workers: 3, registerEvery: 2, deadline: time.Second, pause: time.Microsecond})
	}()
	for k.report(false).Calls < 200 {
		<-time.After(time.Millisecond)
	}
	cancel()
	<-done
	r := k.report(true)
	if r.ByInst["galumph2_3"] != 50 || r.ByInst["galumph2_3"]+r.ByInst["galumph2_4"]+r.Failed != r.Calls || r.LastInst != "galumph2_4" {
		t.Errorf("by version: %+v", r)
	}
	if r.Table.Failed != 0 || r.Register.Failed != s.registers.Load()/10 || r.Register.Lost != r.Register.Failed ||
		r.Register.Calls+r.Table.Calls != r.Calls || !r.Final || !strings.Contains(r.LastError, "gone") {
		t.Errorf("by method: %+v", r)
	}
	if d := r.Register.Calls - r.Table.Calls; d < -3 || d > 3 {
		t.Errorf("%d Registers and %d Tables", r.Register.Calls, r.Table.Calls)
	}
}
