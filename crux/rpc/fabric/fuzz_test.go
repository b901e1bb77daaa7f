package fabric

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "fulcrum.example/protos/lashup"
)

func FuzzDecodeValue(f *testing.F) {
	for _, v := range []*pb.Value{
		{Type: pb.Type_TYPE_COUNTER, Count: 3}, {Type: pb.Type_TYPE_LWW_REGISTER, Bytes: []byte{255}}, {Type: 99},
		{Type: pb.Type_TYPE_MAP, Fields: []*pb.FieldValue{{Name: "x"}, {Name: "y", Value: &pb.Value{Type: pb.Type_TYPE_MULTI_REGISTER, Elements: [][]byte{nil}}}}},
	} {
		b, err := proto.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &pb.Value{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		v := valueFrom(m)
		if v.String() == "" && !(v.Type == TypeRegister && len(v.Bytes) == 0) {
			t.Fatalf("%v prints as nothing", v)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a/b", `a\/b/*`, "**", "", `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := ParseKey(s); err == nil {
			if again, err := ParseKey(FormatKey(k)); err != nil || FormatKey(again) != FormatKey(k) {
				t.Fatalf("%q reads as %q, and then as %q, %v", s, k, again, err)
			}
		}
		if p, err := ParsePattern(s); err == nil {
			if again, err := ParsePattern(p.String()); err != nil || again.String() != p.String() {
				t.Fatalf("%q reads as %v, and then as %v, %v", s, p, again, err)
			}
		}
	})
}
