package cast

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"
)

// leastCompressed is the shortest payload worth compressing, in bytes.
const leastCompressed = 1 << 10

// writers are kept: one takes some 650 kB.
var writers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// compress replaces the payload if that saves an eighth of it.
func (m *Body) compress() {
	if len(m.Payload) < leastCompressed {
		return
	}
	var out bytes.Buffer
	w := writers.Get().(*flate.Writer)
	defer writers.Put(w)
	w.Reset(&out)
	if _, err := w.Write(m.Payload); err != nil || w.Close() != nil {
		return // a Buffer takes everything; if not, it goes as it is
	}
	if out.Len() < len(m.Payload)*7/8 {
		m.Raw, m.Payload = uint32(len(m.Payload)), bytes.Clone(out.Bytes())
	}
}

// expand gives the payload as it was published. It fails if the payload is not
// what the body says of it.
func (m *Body) expand() (plain []byte, ok bool) {
	if m.Raw == 0 {
		return m.Payload, true
	}
	r := flate.NewReader(bytes.NewReader(m.Payload))
	plain = make([]byte, m.Raw)
	if _, err := io.ReadFull(r, plain); err != nil {
		return nil, false
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return nil, false
	}
	return plain, true
}
