package operator

import (
	"context"
	"errors"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/crux/rpc/service"
)

// attachPatience is how long a node may take to answer at its socket.
const attachPatience = 3 * time.Second

// Fabric is the lashup of one node, asked as its operator. Close it.
type Fabric struct {
	*fabric.Client
	node *service.Node
}

// DialFabric makes a client of the lashup of the node at a socket, or in a data
// folder. It says plainly when there is no node, and waits a little for a lashup
// that is starting. ctx bounds the way there.
func DialFabric(ctx context.Context, at string) (*Fabric, error) {
	at, err := locate(at)
	if err != nil {
		return nil, err
	}
	attach, cancel := context.WithTimeout(ctx, attachPatience)
	defer cancel()
	n, err := service.Attach(attach, at, crux.Operator)
	if err != nil {
		if ctx.Err() == nil && attach.Err() != nil {
			return nil, crux.Errorf("connect", crux.Unavailable, "no node answers at %s: is its fulcrum running?", at)
		}
		return nil, err
	}
	c, err := fabric.Dial(n)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	f := &Fabric{c, n}
	if err := c.Wait(attach); err != nil {
		if ctx.Err() == nil && attach.Err() != nil {
			err = crux.Errorf("connect", crux.Unavailable, "the lashup of the node at %s does not serve yet, or not any more: \"fulcrum units\" says how it fares, and where it logs; \"fulcrum fabric members\" at another node whether it hangs", at)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close ends the connection.
func (f *Fabric) Close() error { return errors.Join(f.Client.Close(), f.node.Close()) }
