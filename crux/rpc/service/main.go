package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"fulcrum.example/crux"
)

const (
	socketVariable  = "FULCRUM_SOCKET"
	tokenDescriptor = 3
	tokenDigits     = 64
	attachPatience  = 30 * time.Second
	termPatience    = 20 * time.Second // for a routine to end after SIGTERM, or when its node is lost
)

// Main runs one of the functions, the one that the node asks for by name, and
// does not return. It is all that the main function of a service needs.
func Main(functions map[string]crux.Service) {
	MainLookup(func(name string) (crux.Service, error) {
		if f, ok := functions[name]; ok {
			return f, nil
		}
		names := make([]string, 0, len(functions))
		for n := range functions {
			names = append(names, n)
		}
		slices.Sort(names)
		return nil, crux.Errorf("find function", crux.NotFound, "no function %q in this artifact; it has %s", name, strings.Join(names, ", "))
	})
}

// MainLookup is Main with the function looked up by name.
func MainLookup(lookup func(name string) (crux.Service, error)) {
	code, err := run(lookup)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
	}
	os.Exit(code)
}

func run(lookup func(name string) (crux.Service, error)) (int, error) {
	// Ask for signals first: one that comes while attaching counts too.
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(terms)

	socket := os.Getenv(socketVariable)
	if socket == "" {
		return 2, crux.Errorf("", crux.Invalid,
			"this is a service that a node starts (%s is not set); publish it with: fulcrum publish FILE --api A --inst I --func F", socketVariable)
	}
	token, err := readToken(tokenDescriptor)
	if err != nil {
		return 2, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	n, err := open(socket, identity{tokenKey, token}, log)
	if err != nil {
		return 1, err
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(context.Background(), attachPatience)
	defer cancel()
	if err := n.ready(ctx); err != nil {
		return 1, err
	}
	f, err := lookup(n.info.function)
	if err != nil {
		return 1, err
	}
	if err := live(n, f, terms); err != nil {
		return 1, err
	}
	return 0, nil
}

// live runs the routine until it returns, asks it to quit when that is due, and
// gives up on it at the deadline.
func live(n *Node, f crux.Service, terms <-chan os.Signal) error {
	quit := make(chan bool)
	alive := make(chan []crux.Fservice)
	ended := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				ended <- crux.Errorf(n.Service(), crux.Internal, "the service routine panicked: %v", p)
			}
		}()
		f(quit, alive, n)
		ended <- nil
	}()
	asked := false
	var deadline <-chan time.Time
	ask := func(patience time.Duration) {
		if !asked {
			asked = true
			close(quit)
			deadline = time.After(patience)
		}
	}
	for {
		select {
		case beats := <-alive:
			n.beat(beats)
		case patience := <-n.quits:
			ask(patience)
		case <-terms:
			ask(termPatience)
		case err := <-ended:
			if err == nil && !asked {
				err = crux.Errorf("", crux.Internal, "the service routine ended without being asked to; what it logged before may say why")
			}
			n.flush()
			return err
		case <-deadline:
			return crux.Errorf(n.Service(), crux.Timeout, "the service routine did not end in time after it was asked to")
		}
	}
}

// readToken reads the token from the inherited pipe and closes it.
func readToken(fd int) (string, error) {
	const op = "read token"
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return "", crux.Errorf(op, crux.Invalid, "descriptor %d is not the pipe that a node gives its services", fd)
	}
	f := os.NewFile(uintptr(fd), "token")
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, tokenDigits+1))
	if err != nil {
		return "", crux.Errorf(op, crux.Invalid, "%w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) != tokenDigits || strings.Trim(token, "0123456789abcdef") != "" {
		return "", crux.Errorf(op, crux.Invalid, "what descriptor %d gave is not a token of %d hex digits", fd, tokenDigits)
	}
	return token, nil
}

// SocketName is the socket for clients and operators in a node's data folder.
const SocketName = "fulcrum.sock"

// Attach joins the node that listens at socketPath (or whose data folder that
// is) as the client caller: the name by which allow rules know it. It returns
// once the node has answered, or fails when ctx ends. Close the node after use.
func Attach(ctx context.Context, socketPath, caller string) (*Node, error) {
	if !crux.ValidName(caller) {
		return nil, crux.Errorf("attach", crux.Invalid, "%q is not a caller's name: want 1 to 63 of a-z, 0-9, dot and hyphen", caller)
	}
	if st, err := os.Stat(socketPath); err == nil && st.IsDir() {
		socketPath = filepath.Join(socketPath, SocketName)
	}
	if _, err := os.Stat(socketPath); errors.Is(err, os.ErrNotExist) {
		return nil, crux.Errorf("attach", crux.Unavailable, "there is no socket at %s: is the node up?", socketPath)
	}
	n, err := open(socketPath, identity{callerKey, caller}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := n.ready(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}
