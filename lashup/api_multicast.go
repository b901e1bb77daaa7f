package lashup

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/lashup/cast"
	pb "fulcrum.example/protos/lashup"
)

// maxPayload bounds a payload, in bytes: less than the fabric takes, which the
// store's own messages need.
const maxPayload = 1 << 20

// multicastAPI serves protos/lashup.Multicast.
type multicastAPI struct {
	pb.UnimplementedMulticastServer
	*api
}

// Send sends a message.
func (a multicastAPI) Send(ctx context.Context, m *pb.SendRequest) (*pb.SendReply, error) {
	if err := a.gate.enter(); err != nil {
		return nil, err
	}
	defer a.gate.leave()
	if err := checkTopic(m.GetTopic()); err != nil {
		return nil, err
	}
	if len(m.GetPayload()) > maxPayload {
		return nil, crux.Errorf("multicast", crux.Exhausted, "a payload of %d bytes is longer than %d", len(m.GetPayload()), maxPayload)
	}
	r := cast.Request{Topic: m.GetTopic(), Payload: m.GetPayload(), Options: cast.Options{
		RecordRoute: m.GetRecordRoute(), Loop: m.GetLoop(), Fanout: int(m.GetFanout()), TTL: int(m.GetTtl()), Compress: m.GetCompress(),
	}}
	for _, b := range m.GetOnly() {
		id, err := wire.NodeIDFrom(b)
		if err != nil {
			return nil, err
		}
		r.Options.Only = append(r.Options.Only, id)
	}
	id, err := a.net.Publish(ctx, r)
	if err != nil {
		return nil, err
	}
	return &pb.SendReply{Id: messageIDTo(id)}, nil
}

func messageIDTo(id cast.ID) *pb.MessageID {
	return &pb.MessageID{Origin: wire.NodeIDTo(id.Origin), Epoch: id.Epoch, Number: id.Seq}
}

// checkTopic refuses topics that are malformed, or lashup's own.
func checkTopic(t string) error {
	switch {
	case t == "" || len(t) > cast.MaxTopic:
		return crux.Errorf("multicast", crux.Invalid, "a topic has 1 to %d bytes, not %d", cast.MaxTopic, len(t))
	case strings.HasPrefix(t, reserved):
		return crux.Errorf("multicast", crux.Invalid, "topics that begin with %s are lashup's own: take another", reserved)
	}
	return nil
}

// Listen sends the messages of topics.
func (a multicastAPI) Listen(m *pb.ListenRequest, s grpc.ServerStreamingServer[pb.ListenEvent]) error {
	topics := m.GetTopics()
	if len(topics) == 0 || len(topics) > maxTopics {
		return crux.Errorf("listen", crux.Invalid, "%d topics: want 1 to %d", len(topics), maxTopics)
	}
	for _, t := range topics {
		if err := checkTopic(t); err != nil {
			return err
		}
	}
	if err := a.gate.enter(); err != nil {
		return err
	}
	shut := a.gate.shutting()
	a.gate.leave()
	l, err := a.hub.listen(topics)
	if err != nil {
		return err
	}
	defer a.hub.leave(l)
	if err := s.Send(&pb.ListenEvent{Event: &pb.ListenEvent_Listening{Listening: &pb.Listening{}}}); err != nil {
		return err
	}
	for {
		select {
		case <-l.more:
		case <-shut:
			return s.Send(&pb.ListenEvent{Event: &pb.ListenEvent_Handover{Handover: handoverTo()}})
		case <-s.Context().Done():
			return s.Context().Err()
		}
		for _, h := range l.take() {
			if err := s.Send(&pb.ListenEvent{Event: &pb.ListenEvent_Message{Message: messageTo(&h)}}); err != nil {
				return err
			}
		}
	}
}

func messageTo(h *heard) *pb.Message {
	return &pb.Message{Id: messageIDTo(h.ID), Topic: valid(h.Topic), Payload: h.Payload, Route: nodesTo(h.Route), Missed: h.missed}
}
