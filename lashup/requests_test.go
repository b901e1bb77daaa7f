package lashup

import (
	"errors"
	"sync"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
	pb "fulcrum.example/protos/lashup"
)

// teller applies writes and counts them.
type teller struct{ applied uint64 }

func (a *teller) apply() (replica.Version, error) {
	a.applied++
	return replica.Version{Epoch: 7, Number: a.applied * 10}, nil
}

func request(client byte, number, unanswered uint64) *pb.RequestID {
	return &pb.RequestID{Client: append(make([]byte, 15), client), Number: number, Unanswered: unanswered, Epoch: 7}
}

func again(id *pb.RequestID) *pb.RequestID {
	id.Again = true
	return id
}

func TestAWriteThatComesAgainIsAppliedOnce(t *testing.T) {
	t.Parallel()
	r, a := newRequests(7), &teller{}
	do := func(r *requests, id *pb.RequestID) uint64 {
		t.Helper()
		v, err := r.do(t.Context(), id, false, a.apply)
		if err != nil {
			t.Fatal(err)
		}
		return v.Number
	}
	if v := do(r, request(1, 1, 1)); v != 10 {
		t.Errorf("version %d", v)
	}
	if v := do(r, again(request(1, 1, 1))); v != 10 || a.applied != 1 {
		t.Errorf("again: version %d, applied %d times", v, a.applied)
	}
	if v := do(r, request(2, 1, 1)); v != 20 {
		t.Errorf("another client's: version %d", v)
	}
	// A handover keeps it.
	b, err := r.save()
	if err != nil {
		t.Fatal(err)
	}
	heir, err := loadRequests(7, b)
	if err != nil {
		t.Fatal(err)
	}
	if v := do(heir, again(request(1, 1, 1))); v != 10 || a.applied != 2 {
		t.Errorf("after a handover: version %d, applied %d times", v, a.applied)
	}
	// One that never arrived is applied, when it comes again.
	if v := do(heir, again(request(1, 2, 2))); v != 30 {
		t.Errorf("one that was lost on its way: version %d", v)
	}
	// What the client has the answer of is forgotten.
	if n := len(heir.clients[clientID(request(1, 1, 1).GetClient())].byNum); n != 1 {
		t.Errorf("%d answers are kept", n)
	}
	if _, err := heir.do(t.Context(), again(request(1, 1, 1)), false, a.apply); crux.KindOf(err) != crux.Invalid {
		t.Errorf("one that was answered: %v", err)
	}
}

func TestAWriteOfWhichNothingIsKnownIsDoubted(t *testing.T) {
	t.Parallel()
	a := &teller{}
	r := newRequests(8) // started anew since
	if _, err := r.do(t.Context(), again(request(1, 1, 1)), false, a.apply); crux.KindOf(err) != crux.Timeout || a.applied != 0 {
		t.Errorf("%v, applied %d times", err, a.applied)
	}
	if _, err := r.do(t.Context(), again(request(1, 1, 1)), true, a.apply); err != nil || a.applied != 1 {
		t.Errorf("one that may be applied twice: %v, applied %d times", err, a.applied)
	}
	if _, err := r.do(t.Context(), request(1, 2, 1), false, a.apply); err != nil || a.applied != 2 {
		t.Errorf("one that comes for the first time: %v, applied %d times", err, a.applied)
	}
	// A client that was forgotten for lack of room may have written.
	r = newRequests(7)
	for i := range maxClients + 1 {
		id := request(0, 1, 1)
		id.Client[0], id.Client[1] = byte(i>>8), byte(i)
		if _, err := r.do(t.Context(), id, false, a.apply); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.do(t.Context(), again(request(0, 1, 1)), false, a.apply); crux.KindOf(err) != crux.Timeout {
		t.Errorf("a client that was forgotten: %v", err)
	}
}

func TestAWriteThatFailedMayComeAgain(t *testing.T) {
	t.Parallel()
	r, a := newRequests(7), &teller{}
	refused := crux.Errorf("write", crux.Exhausted, "full")
	if _, err := r.do(t.Context(), request(1, 1, 1), false, func() (replica.Version, error) { return replica.Version{}, refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
	if v, err := r.do(t.Context(), again(request(1, 1, 1)), false, a.apply); v.Number != 10 || err != nil {
		t.Errorf("version %d, %v", v.Number, err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = r.do(t.Context(), request(1, 2, 1), false, func() (replica.Version, error) { panic("as asked") })
	}()
	if v, err := r.do(t.Context(), again(request(1, 2, 1)), false, a.apply); v.Number != 20 || err != nil {
		t.Errorf("after a panic: version %d, %v", v.Number, err)
	}
}

func TestTwoThatComeAtATimeAreApplied(t *testing.T) {
	t.Parallel()
	r, a := newRequests(7), &teller{}
	in, out := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_, err := r.do(t.Context(), request(1, 1, 1), false, func() (replica.Version, error) {
			close(in)
			<-out
			return a.apply()
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-in
	group.Go(func() {
		if v, err := r.do(t.Context(), again(request(1, 1, 1)), false, a.apply); v.Number != 10 || err != nil {
			t.Errorf("version %d, %v", v.Number, err)
		}
	})
	close(out)
	group.Wait()
	if a.applied != 1 {
		t.Errorf("applied %d times", a.applied)
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	r, a := newRequests(7), &teller{}
	for _, id := range []*pb.RequestID{{}, {Client: make([]byte, 16)}, {Client: make([]byte, 15), Number: 1}, {Client: make([]byte, 16), Number: 1, Unanswered: 2}} {
		if _, err := r.do(t.Context(), id, true, a.apply); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%v: %v", id, err)
		}
	}
	for n := range uint64(maxUnanswered) {
		if _, err := r.do(t.Context(), request(1, n+1, 1), true, a.apply); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.do(t.Context(), request(1, maxUnanswered+1, 1), true, a.apply); crux.KindOf(err) != crux.Exhausted {
		t.Error(err)
	}
}

// A handover carries the answers of those that wrote last, and no more than fit.
func TestAHandoverCarriesNoMoreThanFits(t *testing.T) {
	t.Parallel()
	r, a := newRequests(7), &teller{}
	const clients = maxSaved/maxUnanswered + 2
	for c := range clients {
		for n := range maxUnanswered {
			if _, err := r.do(t.Context(), request(byte(c), uint64(n+1), 1), false, a.apply); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := r.save()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > maxBody/2 {
		t.Errorf("%d bytes", len(b))
	}
	heir, err := loadRequests(7, b)
	if err != nil {
		t.Fatal(err)
	}
	was := a.applied
	if v, err := heir.do(t.Context(), again(request(clients-1, 1, 1)), false, a.apply); err != nil || a.applied != was {
		t.Errorf("the last one's: %v, %v, applied anew: %v", v, err, a.applied != was)
	}
	if _, err := heir.do(t.Context(), again(request(0, 1, 1)), false, a.apply); crux.KindOf(err) != crux.Timeout {
		t.Errorf("the first one's, which is forgotten: %v", err)
	}
}
