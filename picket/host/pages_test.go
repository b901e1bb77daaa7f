package host

import (
	"bytes"
	"fmt"
	"os"
	"testing"
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
