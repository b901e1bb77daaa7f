package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/local"
)

// workers is how many calls the client has under way at once, and so the most
// that a dying replica can lose.
const workers = 4

// counts is what the client has counted since its start.
type counts struct {
	Calls     int64            `json:"calls"`
	FailedAll int64            `json:"failed"`
	ByInst    map[string]int64 `json:"by_inst"`
	Register  method           `json:"register"`
	Table     method           `json:"table"`
	SlowestMS float64          `json:"slowest_ms"`
	LastError string           `json:"last_error"`
	Final     bool             `json:"final"`
}

type method struct {
	Calls  int64 `json:"calls"`
	Failed int64 `json:"failed"`
	Lost   int64 `json:"lost"` // of those, in flight to a process that died
}

// client is the example's client, a process of its own that calls without
// pause and prints what it has counted.
type client struct {
	cmd  *exec.Cmd
	log  *os.File
	read chan struct{} // closed at the end of its output

	mu   sync.Mutex
	last counts
	bad  error // its output could not be read
}

// startClient starts it, attached to the node at socket.
func startClient(bin, socket, logPath string) (*client, error) {
	log, err := os.Create(logPath)
	if err != nil {
		return nil, crux.Errorf("start client", crux.Internal, "%w", err)
	}
	cmd := exec.Command(bin, "-socket", socket, "-workers", strconv.Itoa(workers), "-pause", "500us", "-report", "20ms")
	cmd.Stderr = log
	// Ctrl-C is for the demo, which ends the client itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		log.Close()
		return nil, crux.Errorf("start client", crux.Internal, "%w", err)
	}
	c := &client{cmd: cmd, log: log, read: make(chan struct{})}
	go c.follow(out)
	return c, nil
}

// follow keeps the newest counts until the client ends.
func (c *client) follow(out io.Reader) {
	defer close(c.read)
	s := bufio.NewScanner(out)
	for s.Scan() {
		var n counts
		err := json.Unmarshal(s.Bytes(), &n)
		c.mu.Lock()
		if err != nil {
			c.bad = crux.Errorf("read client", crux.Internal, "%w", err)
		} else {
			c.last = n
		}
		c.mu.Unlock()
	}
}

// counts is the newest that the client has said.
func (c *client) counts() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// await waits until f finds nothing missing in the counts.
func (c *client) await(ctx context.Context, f func(counts) (missing string)) error {
	var ended error
	err := local.Poll(ctx, func(context.Context) string {
		select {
		case <-c.read:
			ended = c.whyEnded()
			return ""
		default:
			return f(c.counts())
		}
	})
	if ended != nil {
		return ended
	}
	return err
}

// whyEnded says why a client that should run has ended.
func (c *client) whyEnded() error {
	text, err := os.ReadFile(c.log.Name())
	if err != nil {
		return crux.Errorf("client", crux.Internal, "it has ended: %w", err)
	}
	return crux.Errorf("client", crux.Internal, "it has ended: %s", strings.TrimSpace(string(bytes.TrimSpace(text))))
}

// stop asks the client to end, once its calls have, and returns its last word.
func (c *client) stop(ctx context.Context) (counts, error) {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return counts{}, crux.Errorf("stop client", crux.Internal, "%w", err)
	}
	select {
	case <-c.read:
	case <-ctx.Done():
		return counts{}, crux.Errorf("stop client", crux.Timeout, "it did not end")
	}
	err := c.wait()
	n := c.counts()
	if err == nil && !n.Final {
		err = c.whyEnded()
	}
	return n, err
}

func (c *client) wait() error {
	defer c.log.Close()
	if err := c.cmd.Wait(); err != nil {
		return crux.Errorf("client", crux.Internal, "%w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bad
}

// kill ends a client of a demo that failed.
func (c *client) kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return crux.Errorf("kill client", crux.Internal, "%w", err)
	}
	<-c.read
	_ = c.wait() // it was killed, and says so
	return nil
}
