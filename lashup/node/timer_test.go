package node

import (
	"testing"
	"time"
)

func TestTheTimerFiresOnceAndWhenItWasSetLast(t *testing.T) {
	x, err := newTimer()
	if err != nil {
		t.Fatal(err)
	}
	fired := make(chan time.Time)
	go func() {
		defer close(fired)
		for x.next() {
			fired <- time.Now()
		}
	}()
	begun := time.Now()
	x.set(10 * time.Second)
	x.set(never)
	x.set(20 * time.Millisecond)
	select {
	case at := <-fired:
		if at.Sub(begun) < 20*time.Millisecond {
			t.Errorf("it fired after %v", at.Sub(begun))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not fire")
	}
	x.set(never)
	x.set(-time.Second) // at once
	<-fired
	select {
	case <-fired:
		t.Error("it fired twice")
	case <-time.After(30 * time.Millisecond): // the longest that it was set for
	}
	x.close()
	for range fired {
		t.Error("it fired when it was closed")
	}
}

func TestABellWakesAllWhoWait(t *testing.T) {
	var b bell
	b.ring() // nobody hears
	one, two := b.wait(), b.wait()
	select {
	case <-one:
		t.Fatal("it rings by itself")
	default:
	}
	b.ring()
	<-one
	<-two
	if three := b.wait(); three == one {
		t.Error("an old ring counts")
	}
}
