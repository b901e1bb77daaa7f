package lashup

import (
	"bytes"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"fulcrum.example/lashup/crdt"
	pb "fulcrum.example/protos/lashup"
)

func FuzzDecodeOp(f *testing.F) {
	for _, op := range []*pb.Op{
		{Type: pb.Type_TYPE_COUNTER, Do: &pb.Op_Increment{Increment: -3}},
		{Type: pb.Type_TYPE_REMOVE_WINS_SET, Do: &pb.Op_Add{Add: &pb.Elements{Elements: [][]byte{{1}, nil}}}},
		{Type: pb.Type_TYPE_MAP, Do: &pb.Op_Update{Update: &pb.MapOp{
			Updates: []*pb.FieldOp{{Name: "x", Op: &pb.Op{Type: pb.Type_TYPE_ENABLE_WINS_FLAG, Do: &pb.Op_Enable{Enable: true}}},
				{Name: "y", Op: &pb.Op{Type: pb.Type_TYPE_COUNTER, Do: &pb.Op_Delete{}}}},
			Removes: []*pb.Field{{Name: "z", Type: pb.Type_TYPE_LWW_REGISTER}}}}},
		{Do: &pb.Op_Delete{}}, {},
	} {
		b, err := proto.Marshal(op)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &pb.Op{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		op, _, err := opFrom(m)
		if err != nil || op.Check() != nil {
			return
		}
		// What passes is an operation that others can read.
		enc := op.Append(nil)
		again, err := crdt.DecodeOp(enc)
		if err != nil || !bytes.Equal(again.Append(nil), enc) {
			t.Fatalf("%v is written as %x, which reads as %v, %v", m, enc, again, err)
		}
	})
}

func FuzzDecodeContext(f *testing.F) {
	f.Add([]byte{contextMark})
	f.Add(contextTo(crdt.Context{}))
	f.Add([]byte{2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := contextFrom(b)
		if err == nil && c != nil && !bytes.Equal(contextTo(*c), b) {
			t.Fatalf("%x reads as %v, which is written as %x", b, c, contextTo(*c))
		}
	})
}

func FuzzDecodeRequests(f *testing.F) {
	r := newRequests(7)
	if _, err := r.do(f.Context(), request(1, 1, 1), true, (&teller{}).apply); err != nil {
		f.Fatal(err)
	}
	b, err := r.save()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := loadRequests(7, b)
		if err != nil {
			return
		}
		if _, err := r.save(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeLetter(f *testing.F) {
	f.Add([]byte{kindOffer, 0, 0, 0, 2, '{', '}'})
	f.Add([]byte{kindRefusal, 0, 0, 0, 2, 'n', 'o'})
	f.Add([]byte{kindOffer, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Skip(err)
		}
		var ends [2]*net.UnixConn
		for i, fd := range fds {
			file := os.NewFile(uintptr(fd), "pair")
			c, err := net.FileConn(file)
			file.Close()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ends[i] = c.(*net.UnixConn)
		}
		if _, err := ends[0].Write(b); err != nil {
			t.Skip(err)
		}
		ends[0].Close()
		var o offer
		if err := (&channel{ends[1]}).receive(kindOffer, time.Second, &o); err == nil && (len(b) < headerBytes || b[0] != kindOffer) {
			t.Fatalf("%x is taken for an offer", b)
		}
	})
}
