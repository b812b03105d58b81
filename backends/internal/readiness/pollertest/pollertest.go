// Package pollertest is what every readiness.Poller has to pass. The test of a
// new one is three lines:
//
//	func TestPoller(t *testing.T) { pollertest.Run(t, newPoller) }
//
// It refuses to test the loop above: package backendtest does. It keeps no
// state; Run is for a test's own goroutine.
package pollertest

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
)

// Run holds a Poller to the contract.
func Run(t *testing.T, open func() (readiness.Poller, error)) {
	for name, test := range map[string]func(*testing.T, *bench){
		"Ready":   ready,
		"Unknown": unknown,
		"Twice":   twice,
	} {
		t.Run(name, func(t *testing.T) {
			p, err := open()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			b := &bench{Poller: p}
			for i := range b.ids {
				fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { unix.Close(fd) })
				b.ids[i] = readiness.ID(i)<<32 | readiness.ID(fd)
				if i == len(b.ids)-1 {
					break // one that the poller does not know
				}
				if err := p.Add(b.ids[i]); err != nil {
					t.Fatal(err)
				}
			}
			test(t, b)
		})
	}
}

// bench is a poller with some eventfds: it has all but the last.
type bench struct {
	readiness.Poller
	ids [4]readiness.ID
}

func (b *bench) last() readiness.ID { return b.ids[len(b.ids)-1] }

// ring makes an eventfd ready for reading.
func (b *bench) ring(t *testing.T, id readiness.ID) {
	t.Helper()
	if _, err := unix.Write(id.FD(), []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
}

// tells gives what the poller says of the eventfds within a moment; all of
// them have the chance.
func (b *bench) tells(t *testing.T) (readable, writable []readiness.ID) {
	t.Helper()
	events := make([]readiness.Event, 8)
	n, err := b.Wait(events, 20*time.Millisecond, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events[:n] {
		if e.Readable {
			readable = append(readable, e.ID)
		}
		if e.Writable {
			writable = append(writable, e.ID)
		}
	}
	slices.Sort(readable)
	slices.Sort(writable)
	return readable, writable
}

// ready: what is ready is told of, for reading and, where it is wanted, for
// writing; what was removed is not.
func ready(t *testing.T, b *bench) {
	b.ring(t, b.ids[0])
	b.ring(t, b.ids[2])
	if err := b.Want(b.ids[1], true, true); err != nil {
		t.Fatal(err)
	}
	readable, writable := b.tells(t)
	for _, id := range []readiness.ID{b.ids[0], b.ids[2]} {
		if !slices.Contains(readable, id) {
			t.Errorf("%x is readable, and the poller tells of %x", id, readable)
		}
	}
	if !slices.Contains(writable, b.ids[1]) {
		t.Errorf("%x is writable, and the poller tells of %x", b.ids[1], writable)
	}
	if err := b.Want(b.ids[2], false, false); err != nil {
		t.Fatal(err)
	}
	if readable, _ = b.tells(t); slices.Contains(readable, b.ids[2]) || !slices.Contains(readable, b.ids[0]) {
		t.Errorf("%x is readable and %x is not wanted: the poller tells of %x", b.ids[0], b.ids[2], readable)
	}
	if err := b.Want(b.ids[2], true, false); err != nil {
		t.Fatal(err)
	}
	b.Remove(b.ids[0])
	if readable, _ = b.tells(t); slices.Contains(readable, b.ids[0]) || !slices.Contains(readable, b.ids[2]) {
		t.Errorf("%x is readable and %x was removed: the poller tells of %x", b.ids[2], b.ids[0], readable)
	}
}

// unknown: to remove a descriptor that the poller does not have, or has no
// more, does nothing, and one that it does not have cannot be wanted.
func unknown(t *testing.T, b *bench) {
	b.Remove(b.last())
	b.Remove(b.ids[2])
	b.Remove(b.ids[2])
	b.Remove(readiness.ID(1 << 20)) // beyond every table
	for _, id := range []readiness.ID{b.last(), b.ids[2], 1 << 20} {
		for _, write := range []bool{false, true} {
			if err := b.Want(id, true, write); err == nil {
				t.Errorf("Want(%x, %v) of a descriptor that the poller does not have is no error", id, write)
			}
		}
	}
	for _, id := range b.ids {
		b.ring(t, id)
	}
	readable, writable := b.tells(t)
	if !slices.Equal(readable, b.ids[:2]) || len(writable) > 0 {
		t.Errorf("the poller has %x and tells of %x for reading and %x for writing", b.ids[:2], readable, writable)
	}
}

// twice: a descriptor that the poller has is not added again.
func twice(t *testing.T, b *bench) {
	if err := b.Add(b.ids[1]); err == nil {
		t.Errorf("a descriptor was added twice")
	}
	b.Remove(b.ids[1])
	b.ring(t, b.ids[1])
	if readable, _ := b.tells(t); slices.Contains(readable, b.ids[1]) {
		t.Errorf("%x was removed and is told of: %x", b.ids[1], readable)
	}
	if err := b.Add(b.ids[1]); err != nil {
		t.Errorf("a descriptor that was removed is not added again: %v", err)
	}
}
