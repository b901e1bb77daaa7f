package host

import (
	"context"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// gcPercent is the collector's present setting.
func gcPercent() int {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

func TestTheCollectorIsAsItWasAfterAStart(t *testing.T) {
	before := gcPercent()
	t.Run("that ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			EaseStart(ctx)
		}()
		for deadline := time.Now().Add(10 * time.Second); gcPercent() != startPercent; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("the collector runs at %d%%, not at %d%%", gcPercent(), startPercent)
			}
		}
		cancel()
		<-done
		if p := gcPercent(); p != before {
			t.Errorf("%d%%, and not %d%%", p, before)
		}
	})
	t.Run("of a large heap", func(t *testing.T) {
		large := make([]byte, smallHeap+1)
		EaseStart(t.Context()) // returns at once
		if p := gcPercent(); p != before {
			t.Errorf("%d%%, and not %d%%", p, before)
		}
		runtime.KeepAlive(large)
	})
}
