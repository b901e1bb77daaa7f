package store

import (
	"testing"

	"fulcrum.example/lashup/replica"
)

func batchOf(key string) []replica.Entry {
	return []replica.Entry{{Key: []byte(key), Value: []byte("v")}}
}

// TestWhatFollowsALostBatchIsLostToo: until the replica knows of the loss, nothing
// that depends on it may reach the disk.
func TestWhatFollowsALostBatchIsLostToo(t *testing.T) {
	var b outbox
	b.init()
	b.put(1, batchOf("a"))
	b.put(2, batchOf("b"))
	if batch, list, ok := b.take(true); batch != 2 || len(list) != 2 || !ok {
		t.Fatalf("took %d batches up to %d, %v", len(list), batch, ok)
	}
	b.put(3, batchOf("c"))
	b.fail() // of 1 and 2
	b.put(4, batchOf("d"))
	if _, list, ok := b.take(false); len(list) != 0 || !ok {
		t.Errorf("%d batches are to be written", len(list))
	}
	if batch, lost := b.clear(); batch != 4 || lost != 2 {
		t.Errorf("%d more are lost, up to %d", lost, batch)
	}
	b.put(5, batchOf("e"))
	if batch, list, ok := b.take(true); batch != 5 || len(list) != 1 || !ok {
		t.Errorf("took %d batches up to %d, %v", len(list), batch, ok)
	}
	b.close()
	if _, _, ok := b.take(true); ok {
		t.Error("a closed outbox gives batches")
	}
}

func TestAGroupIsWrittenOnce(t *testing.T) {
	list := [][]replica.Entry{{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte("1")}}, {{Key: []byte("a")}}}
	out, bytes := merge(list)
	if len(out) != 2 || string(out[0].Key) != "b" || string(out[1].Key) != "a" || out[1].Value != nil || bytes != 2*17+1 {
		t.Errorf("%q of %d bytes", out, bytes)
	}
	if out, _ := merge(list[:1]); len(out) != 2 {
		t.Errorf("%q", out)
	}
	big := make([]byte, 40<<20)
	entries, bytes := merge([][]replica.Entry{{{Key: []byte("a"), Value: big}}, {{Key: []byte("b"), Value: big}}, {{Key: []byte("a"), Value: big}}})
	if len(entries) != 3 || bytes < 120<<20 || fitting(entries) != 1 {
		t.Errorf("%d entries of %d bytes, %d in the first piece", len(entries), bytes, fitting(entries))
	}
}
