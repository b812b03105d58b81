package ring

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Buffers is a group of buffers of one size, of which the kernel takes one when
// something has arrived, and gets it back when that was looked at (a provided-buffer
// ring). The calling thread is the ring's.
type Buffers struct {
	size    int
	entries []byte // the ring of them
	memory  []byte // what they hold, one behind the other
	ring    []buffer
	tail    uint16 // the kernel may take what is before it
	first   uint16 // the buffer in entry 0, which shares a word with the tail
}

// NewBuffers gives the kernel count buffers of size octets each, as a group. count is
// a power of two, 32,768 at most. The memory is the kernel's to write into until the
// ring is closed; Free gives it up then.
func (r *Ring) NewBuffers(group uint16, count, size int) (*Buffers, error) {
	b := &Buffers{size: size}
	var err error
	length := (count*int(unsafe.Sizeof(buffer{})) + os.Getpagesize() - 1) &^ (os.Getpagesize() - 1)
	if b.entries, err = anonymous(length); err == nil {
		b.memory, err = anonymous(count * size)
	}
	if err != nil {
		b.Free()
		return nil, fmt.Errorf("ring: memory for buffers: %w", err)
	}
	b.ring = unsafe.Slice((*buffer)(unsafe.Pointer(&b.entries[0])), count)
	arg := buffersArg{addr: uint64(uintptr(unsafe.Pointer(&b.entries[0]))), entries: uint32(count), group: group}
	if err := r.register(registerProvidedRing, unsafe.Pointer(&arg), 1); err != nil {
		b.Free()
		return nil, err
	}
	for id := range count {
		b.GiveBack(uint16(id))
	}
	return b, nil
}

func anonymous(length int) ([]byte, error) {
	return unix.Mmap(-1, 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}

// Octets is what a buffer holds, n octets, until it is given back.
func (b *Buffers) Octets(id uint16, n int) []byte {
	at := int(id) * b.size
	return b.memory[at : at+n : at+b.size]
}

// GiveBack lets the kernel take a buffer again.
func (b *Buffers) GiveBack(id uint16) {
	entry := &b.ring[int(b.tail)&(len(b.ring)-1)]
	entry.addr = uint64(uintptr(unsafe.Pointer(&b.memory[int(id)*b.size])))
	entry.len = uint32(b.size)
	if entry == &b.ring[0] {
		b.first = id
	} else {
		entry.id = id
	}
	b.tail++
	// The entry has to be there before the tail says so. There is no atomic store of
	// two octets, so the tail goes with its neighbour, the id of entry 0.
	var word [4]byte
	binary.NativeEndian.PutUint16(word[:2], b.first)
	binary.NativeEndian.PutUint16(word[2:], b.tail)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b.ring[0].id)), binary.NativeEndian.Uint32(word[:]))
}

// Free gives up the memory. The ring is closed before.
func (b *Buffers) Free() {
	for _, m := range [][]byte{b.entries, b.memory} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
}
