package store

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"fulcrum.example/lashup/store/log"
	"fulcrum.example/lashup/store/vfs"
)

var kills = flag.Int("kills", 20, "processes that are killed while they write")

// victimEnv names the folder that the process of a test is to write to.
const victimEnv = "LASHUP_STORE_VICTIM"

// openReal opens the state and the store in a folder of the machine, as the service
// does, with a new epoch.
func openReal(dir string) (*Store, *vfs.OS, error) {
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		return nil, nil, err
	}
	st, err := OpenState(fs, func(err error) { fmt.Fprintln(os.Stderr, err) })
	if err != nil {
		return nil, nil, err
	}
	epoch, err := st.NextEpoch(0)
	if err != nil {
		return nil, nil, err
	}
	s, err := Open((&net{}).config(1, epoch, fs), nil)
	return s, fs, err
}

// TestVictim is not a test: it is the process that TestKilledProcessesLoseNothing
// kills. It prints each write that was acknowledged.
func TestVictim(t *testing.T) {
	dir := os.Getenv(victimEnv)
	if dir == "" {
		t.Skip("only as a process of its own")
	}
	s, _, err := openReal(dir)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			key := fmt.Sprint("k", i)
			v, err := s.Get(context.Background(), []string{key})
			for n := v.Value.Int + 1; err == nil; n++ {
				if _, err = s.Write(context.Background(), incr(key)); err == nil {
					mu.Lock()
					_, err = fmt.Printf("acked %d %d\n", i, n)
					mu.Unlock()
				}
			}
			t.Error(err)
		})
	}
	group.Wait()
}

// TestKilledProcessesLoseNothing kills processes (SIGKILL) at random moments, and
// opens what they leave.
func TestKilledProcessesLoseNothing(t *testing.T) {
	n := *kills
	if testing.Short() {
		n = min(n, 2)
	}
	dir := filepath.Join(t.TempDir(), "store")
	rnd := rand.New(rand.NewPCG(1, 1))
	var acked [8]int64
	total := 0
	for round := range n {
		total += victim(t, dir, rnd.IntN(400), &acked)
		whole(t, dir)
		s, fs, err := openReal(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i := range acked {
			v := read(t, s, fmt.Sprint("k", i)).Int
			if v < acked[i] || v > acked[i]+1 {
				t.Fatalf("round %d: k%d is %d, and %d was acknowledged", round, i, v, acked[i])
			}
			acked[i] = v
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := fs.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d processes killed, %d writes acknowledged", n, total)
}

// victim runs a process until it has said so many times that a write is on disk, and
// kills it.
func victim(t *testing.T, dir string, after int, acked *[8]int64) (said int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // what is cut short was not said
			if err != io.EOF {
				t.Fatal(err)
			}
			break
		}
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "acked" {
			t.Errorf("the victim says %q", line)
			continue
		}
		i, ierr := strconv.Atoi(f[1])
		v, verr := strconv.ParseInt(f[2], 10, 64)
		if ierr != nil || verr != nil {
			t.Fatalf("the victim says %q", line)
		}
		acked[i] = v
		if said++; said > after && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !killed {
		t.Fatalf("the victim ended by itself: %v", err)
	}
	return said
}

// whole checks that a log is without damage.
func whole(t *testing.T, dir string) {
	t.Helper()
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	r := log.NewReader(fs, log.Options{})
	if err := r.Follow(func(_, _ []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}
