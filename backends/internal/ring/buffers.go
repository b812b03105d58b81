package ring

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Buffers is a group of buffers of one size (a provided-buffer ring). The kernel fills one with input,
// and may use it again after GiveBack. Only the ring's thread may call the methods.
type Buffers struct {
	size    int
	entries []byte // memory of ring
	memory  []byte // memory of the buffers, one after the other
	ring    []buffer
	tail    uint16 // the kernel may take the entries before it
	first   uint16 // the buffer in entry 0, which shares a word with the tail
}

// NewBuffers gives the kernel count buffers of size octets each, as a group. count is a power of two,
// 32,768 at most. The kernel may write to the memory until the ring is closed; then Free frees it.
func (r *Ring) NewBuffers(group uint16, count, size int) (*Buffers, error) {
	b := &Buffers{size: size}
	var err error
	length := (count*int(unsafe.Sizeof(buffer{})) + os.Getpagesize() - 1) &^ (os.Getpagesize() - 1)
	if b.entries, err = mapAnonymous(length); err == nil {
		b.memory, err = mapAnonymous(count * size)
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

func mapAnonymous(length int) ([]byte, error) {
	return unix.Mmap(-1, 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}

// Octets returns the first n octets of a buffer. They are valid until GiveBack.
func (b *Buffers) Octets(id uint16, n int) []byte {
	at := int(id) * b.size
	return b.memory[at : at+n : at+b.size]
}

// GiveBack lets the kernel use a buffer again.
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
	// The entry has to be written before the tail. There is no atomic store of two octets, so the
	// tail is stored together with its neighbour, the id of entry 0.
	var word [4]byte
	binary.NativeEndian.PutUint16(word[:2], b.first)
	binary.NativeEndian.PutUint16(word[2:], b.tail)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b.ring[0].id)), binary.NativeEndian.Uint32(word[:]))
}

// Free frees the memory. The ring has to be closed before.
func (b *Buffers) Free() {
	for _, m := range [][]byte{b.entries, b.memory} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
}
