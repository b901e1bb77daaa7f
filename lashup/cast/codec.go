package cast

import (
	"encoding/binary"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/codec"
)

// reader walks over bytes from outside.
type reader struct{ codec.Reader }

// ids reads a list of nodes with its count.
func (r *reader) ids(most int) []crux.NodeID { return r.Nodes(r.Count(most, 8)) }

func (r *reader) id() ID { return ID{r.Node(), r.Uvarint(), r.Uvarint()} }

func (id ID) size() int { return 8 + codec.UvarintSize(id.Epoch) + codec.UvarintSize(id.Seq) }

func (id ID) append(b []byte) []byte {
	b = append(b, id.Origin[:]...)
	b = binary.AppendUvarint(b, id.Epoch)
	return binary.AppendUvarint(b, id.Seq)
}

// appendIDs appends a list of nodes with its count.
func appendIDs(b []byte, ids []crux.NodeID) []byte {
	return codec.AppendNodes(binary.AppendUvarint(b, uint64(len(ids))), ids)
}

func idsSize(ids []crux.NodeID) int { return codec.UvarintSize(uint64(len(ids))) + 8*len(ids) }
