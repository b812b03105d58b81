// Package pollertest is the test that every readiness.Poller has to pass. The test of a new one is
// one line:
//
//	func TestPoller(t *testing.T) { pollertest.Run(t, newPoller) }
//
// It does not test the loop: package backendtest does. It keeps no state. Run is called on the test's own
// goroutine.
package pollertest

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
)

// Run checks a Poller against the contract.
func Run(t *testing.T, open func() (readiness.Poller, error)) {
	for name, test := range map[string]func(*testing.T, *fixture){
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
			f := &fixture{Poller: p}
			for i := range f.ids {
				fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { unix.Close(fd) })
				f.ids[i] = readiness.ID(i)<<32 | readiness.ID(fd)
				if i == len(f.ids)-1 {
					break // the last is not added
				}
				if err := p.Add(f.ids[i]); err != nil {
					t.Fatal(err)
				}
			}
			test(t, f)
		})
	}
}

// fixture is a poller with some eventfds, of which all but the last are added.
type fixture struct {
	readiness.Poller
	ids [4]readiness.ID
}

func (f *fixture) last() readiness.ID { return f.ids[len(f.ids)-1] }

// ring makes an eventfd ready for reading.
func (f *fixture) ring(t *testing.T, id readiness.ID) {
	t.Helper()
	if _, err := unix.Write(id.FD(), []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
}

// poll returns which eventfds the poller reports within a short time. There is room for all of them.
func (f *fixture) poll(t *testing.T) (readable, writable []readiness.ID) {
	t.Helper()
	events := make([]readiness.Event, 8)
	n, err := f.Wait(events, 20*time.Millisecond, false)
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

// ready: descriptors that are ready are reported, for reading and, if wanted, for writing; removed ones
// are not.
func ready(t *testing.T, f *fixture) {
	f.ring(t, f.ids[0])
	f.ring(t, f.ids[2])
	if err := f.Want(f.ids[1], true, true); err != nil {
		t.Fatal(err)
	}
	readable, writable := f.poll(t)
	for _, id := range []readiness.ID{f.ids[0], f.ids[2]} {
		if !slices.Contains(readable, id) {
			t.Errorf("%x is readable, and the poller reports %x", id, readable)
		}
	}
	if !slices.Contains(writable, f.ids[1]) {
		t.Errorf("%x is writable, and the poller reports %x", f.ids[1], writable)
	}
	if err := f.Want(f.ids[2], false, false); err != nil {
		t.Fatal(err)
	}
	if readable, _ = f.poll(t); slices.Contains(readable, f.ids[2]) || !slices.Contains(readable, f.ids[0]) {
		t.Errorf("%x is readable and %x is not wanted: the poller reports %x", f.ids[0], f.ids[2], readable)
	}
	if err := f.Want(f.ids[2], true, false); err != nil {
		t.Fatal(err)
	}
	f.Remove(f.ids[0])
	if readable, _ = f.poll(t); slices.Contains(readable, f.ids[0]) || !slices.Contains(readable, f.ids[2]) {
		t.Errorf("%x is readable and %x was removed: the poller reports %x", f.ids[2], f.ids[0], readable)
	}
}

// unknown: removing a descriptor that the poller does not have, or not any more, does nothing. Want of
// such a descriptor fails.
func unknown(t *testing.T, f *fixture) {
	f.Remove(f.last())
	f.Remove(f.ids[2])
	f.Remove(f.ids[2])
	f.Remove(readiness.ID(1 << 20)) // beyond every table
	for _, id := range []readiness.ID{f.last(), f.ids[2], 1 << 20} {
		for _, write := range []bool{false, true} {
			if err := f.Want(id, true, write); err == nil {
				t.Errorf("Want(%x, %v) of a descriptor that the poller does not have is no error", id, write)
			}
		}
	}
	for _, id := range f.ids {
		f.ring(t, id)
	}
	readable, writable := f.poll(t)
	if !slices.Equal(readable, f.ids[:2]) || len(writable) > 0 {
		t.Errorf("the poller has %x and reports %x for reading and %x for writing", f.ids[:2], readable, writable)
	}
}

// twice: a descriptor cannot be added twice.
func twice(t *testing.T, f *fixture) {
	if err := f.Add(f.ids[1]); err == nil {
		t.Errorf("a descriptor was added twice")
	}
	f.Remove(f.ids[1])
	f.ring(t, f.ids[1])
	if readable, _ := f.poll(t); slices.Contains(readable, f.ids[1]) {
		t.Errorf("%x was removed and is reported: %x", f.ids[1], readable)
	}
	if err := f.Add(f.ids[1]); err != nil {
		t.Errorf("a descriptor that was removed cannot be added again: %v", err)
	}
}
