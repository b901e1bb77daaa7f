package fabric

import (
	"context"
	"iter"
	"strconv"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	pb "fulcrum.example/protos/lashup"
)

// MessageID names a multicast message.
type MessageID struct {
	Origin crux.NodeID `json:"origin"`
	Epoch  uint64      `json:"epoch"`
	Number uint64      `json:"number"`
}

// String prints the ID.
func (id MessageID) String() string {
	return id.Origin.String() + "-" + strconv.FormatUint(id.Epoch, 10) + "-" + strconv.FormatUint(id.Number, 10)
}

func messageIDFrom(m *pb.MessageID) (MessageID, error) {
	origin, err := wire.NodeIDFrom(m.GetOrigin())
	return MessageID{origin, m.GetEpoch(), m.GetNumber()}, err
}

// Message is what a listener gets.
type Message struct {
	ID      MessageID
	Topic   string
	Payload []byte
	Route   []crux.NodeID // with RecordRoute: from the origin to this node, with both
	// Gap: there may have been messages before this one that the listener did
	// not get, for it was too slow, or lashup was replaced or restarted.
	Gap bool
}

// SendOptions say how a message travels.
type SendOptions struct {
	RecordRoute bool          // each copy carries the nodes that it came through
	Loop        bool          // this node's listeners get it too
	Fanout      int           // copies over so many distinct roots, for what must arrive soon; 0: one
	TTL         int           // hops at most; 0: no limit
	Only        []crux.NodeID // these nodes alone; none: all
	Compress    bool
}

// Send sends a message to the listeners of a topic on all members (this one's
// with Loop only). It returns once the message is on its way. Invalid: the topic
// is malformed or reserved; Exhausted: the payload is longer than 1 MiB, or too
// much is on its way.
func (c *Client) Send(ctx context.Context, topic string, payload []byte, o SendOptions) (MessageID, error) {
	req := &pb.SendRequest{Topic: topic, Payload: payload, RecordRoute: o.RecordRoute, Loop: o.Loop,
		Fanout: uint32(max(o.Fanout, 0)), Ttl: uint32(max(o.TTL, 0)), Compress: o.Compress}
	for _, id := range o.Only {
		req.Only = append(req.Only, wire.NodeIDTo(id))
	}
	r, err := ask(ctx, func() (*pb.SendReply, error) { return c.multicast.Send(ctx, req) })
	if err != nil {
		return MessageID{}, err
	}
	return messageIDFrom(r.GetId())
}

// Subscription is one listener of topics.
type Subscription struct {
	c      *Client
	ctx    context.Context // of the stream that is open already
	cancel context.CancelFunc
	topics []string
	first  pb.Multicast_ListenClient
}

// Subscribe listens to topics until ctx ends or Close. It returns once this node
// hears: what is sent later arrives. Close the subscription.
func (c *Client) Subscribe(ctx context.Context, topics ...string) (*Subscription, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &Subscription{c: c, ctx: ctx, cancel: cancel, topics: topics}
	err := c.keep(ctx, func(_ context.Context, _ func()) (err error) {
		if s.first, err = s.listen(ctx); err == nil {
			err = errEnough
		}
		return err
	})
	if err != nil {
		cancel()
		return nil, err
	}
	return s, nil
}

// Close ends the subscription.
func (s *Subscription) Close() { s.cancel() }

// listen opens a stream and waits until the node hears.
func (s *Subscription) listen(ctx context.Context) (pb.Multicast_ListenClient, error) {
	stream, err := s.c.multicast.Listen(ctx, &pb.ListenRequest{Topics: s.topics})
	if err != nil {
		return nil, err
	}
	m, err := stream.Recv()
	switch {
	case err != nil:
		return nil, err
	case m.GetHandover() != nil:
		return nil, again{time.Duration(m.GetHandover().GetRetryMs()) * time.Millisecond}
	case m.GetListening() == nil:
		return nil, crux.Errorf("listen", crux.Internal, "lashup does not say that it listens")
	}
	return stream, nil
}

// Messages gives the messages, once: a subscription has one loop. It listens
// again by itself when lashup is replaced or restarted. It ends when the
// subscription does; an error is the last that it gives.
func (s *Subscription) Messages() iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		stream, gap := s.first, false
		err := s.c.keep(s.ctx, func(ctx context.Context, opened func()) (err error) {
			if stream == nil {
				if stream, err = s.listen(ctx); err != nil {
					return err
				}
			}
			opened()
			from := stream
			stream = nil
			err = receive(from, &gap, yield)
			gap = true
			return err
		})
		if err != nil {
			yield(Message{}, err)
		}
	}
}

// receive gives the messages of one stream.
func receive(from pb.Multicast_ListenClient, gap *bool, yield func(Message, error) bool) error {
	missed := uint64(0)
	for {
		e, err := from.Recv()
		if err != nil {
			return err
		}
		if h := e.GetHandover(); h != nil {
			return again{time.Duration(h.GetRetryMs()) * time.Millisecond}
		}
		m := e.GetMessage()
		if m == nil {
			continue
		}
		out := Message{Topic: m.GetTopic(), Payload: m.GetPayload(), Gap: *gap || m.GetMissed() > missed}
		if out.ID, err = messageIDFrom(m.GetId()); err != nil {
			return err
		}
		if out.Route, err = nodesFrom(m.GetRoute()); err != nil {
			return err
		}
		missed, *gap = m.GetMissed(), false
		if !yield(out, nil) {
			return errEnough
		}
	}
}
