package host

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// fileMemory is how much of files this process has mapped and resident, in kB.
func fileMemory(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, line, ok := bytes.Cut(b, []byte("RssFile:"))
	if _, err := fmt.Sscan(string(line), &n); !ok || err != nil {
		t.Skip("this kernel does not say what of a process's memory is of files")
	}
	return n
}

func TestPagesAreGivenBackAndComeAgain(t *testing.T) {
	before := fileMemory(t)
	if err := giveBack(); err != nil {
		t.Fatal(err)
	}
	if after := fileMemory(t); after >= before {
		t.Errorf("%d kB of files before, %d kB after", before, after)
	}
	// All goes on.
	if _, err := prepareBuiltin(nil, nil); err == nil {
		t.Error("no arguments are taken")
	}
}

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
