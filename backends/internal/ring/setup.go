package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// New makes a ring for the calling thread, with room for so many submissions between two calls of
// Submit, and for so many completions that were not taken yet. Both are rounded up to a power of two,
// at most 32,768 and 65,536. More completions wait in the kernel's memory.
//
// The error says in one line why there can be no ring, and what to do about it.
func New(submissions, completions int) (*Ring, error) {
	r, err := newRing(submissions, completions, setupSingleIssuer|setupDeferTaskrun, unix.Gettid())
	if err != nil {
		return nil, err
	}
	if err := r.registerDescriptor(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// NewUnbound makes a ring as New does, but for no thread: a goroutine that is not locked to its thread
// may use it. Its descriptor is not registered, because a registration is for one thread.
func NewUnbound(submissions, completions int) (*Ring, error) {
	return newRing(submissions, completions, 0, 0)
}

func newRing(submissions, completions int, flags uint32, thread int) (*Ring, error) {
	p := params{flags: setupCQSize | setupClamp | setupSubmitAll | flags, cqEntries: roundUp(completions)}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(roundUp(submissions)), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, explain(errno, disabledSetting())
	}
	r := &Ring{fd: int(fd), registered: registerAnyFreeOffset, thread: thread}
	if err := r.set(&p); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func roundUp(n int) uint32 { return 1 << bits.Len32(uint32(max(n, 1)-1)) }

// set maps the rings and checks what the kernel can do.
func (r *Ring) set(p *params) error {
	if need := uint32(featSingleMmap | featNoDrop | featExtArg); p.features&need != need {
		return fmt.Errorf("ring: this kernel's io_uring has features %#x and needs %#x: use Linux 6.1 or later", p.features, need)
	}
	var err error
	size := max(p.sqArray+p.sqEntries*4, p.cqCompletions+p.cqEntries*uint32(unsafe.Sizeof(CQE{})))
	if r.memory, err = r.mmap(offRings, size); err != nil {
		return err
	}
	if r.entries, err = r.mmap(offSQEs, p.sqEntries*uint32(unsafe.Sizeof(sqe{}))); err != nil {
		return err
	}
	r.sqHead, r.sqTail = r.word(p.sqHead), r.word(p.sqTail)
	r.cqHead, r.cqTail = r.word(p.cqHead), r.word(p.cqTail)
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&r.entries[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*CQE)(unsafe.Pointer(&r.memory[p.cqCompletions])), p.cqEntries)
	for i := range p.sqEntries { // submissions are taken in the order of sqes
		*r.word(p.sqArray + 4*i) = i
	}
	return r.checkOperations()
}

// registerDescriptor registers the ring's descriptor for the calling thread, so that a call does not
// have to look it up.
func (r *Ring) registerDescriptor() error {
	u := update{offset: registerAnyFreeOffset, data: uint64(r.fd)}
	if err := r.register(registerRingFDs, unsafe.Pointer(&u), 1); err != nil {
		return err
	}
	r.registered = u.offset
	return nil
}

func (r *Ring) mmap(offset int64, size uint32) ([]byte, error) {
	m, err := unix.Mmap(r.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("ring: mapping the ring: %w", err)
	}
	return m, nil
}

func (r *Ring) word(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.memory[offset])) }

// register is io_uring_register(2).
func (r *Ring) register(what uintptr, arg unsafe.Pointer, n uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), what, uintptr(arg), n, 0, 0); errno != 0 {
		return fmt.Errorf("ring: io_uring_register(%d): %w", what, errno)
	}
	return nil
}

// checkOperations checks that the kernel has the operations of this package.
func (r *Ring) checkOperations() error {
	var p probe
	if err := r.register(registerProbe, unsafe.Pointer(&p), uintptr(len(p.ops))); err != nil {
		return err
	}
	var missing []string
	for op, name := range names {
		if p.ops[op].flags&opSupported == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("ring: this kernel's io_uring lacks %s: use Linux 6.1 or later", strings.Join(missing, ", "))
	}
	return nil
}

// Close closes the ring. The kernel ends operations that still wait some time later; a caller for
// which that is too late has to end them before. It must be called on the ring's thread.
func (r *Ring) Close() {
	if r.registered != registerAnyFreeOffset {
		u := update{offset: r.registered}
		_ = r.register(unregisterRingFDs, unsafe.Pointer(&u), 1)
		r.registered = registerAnyFreeOffset
	}
	for _, m := range [][]byte{r.entries, r.memory} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	_ = unix.Close(r.fd)
	r.err = errors.New("ring: closed")
}

// Available returns nil if New can make a ring on this machine, and otherwise the reason. Any
// goroutine may call it.
func Available() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := New(1, 1)
	if err != nil {
		return err
	}
	r.Close()
	return nil
}

// disabledSetting is the value of kernel.io_uring_disabled, or "" if there is none.
func disabledSetting() string {
	text, _ := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
	return strings.TrimSpace(string(text))
}

// explain says why io_uring_setup(2) failed. disabled is the value of kernel.io_uring_disabled.
func explain(errno unix.Errno, disabled string) error {
	why := ""
	switch {
	case errno == unix.EPERM && disabled == "2":
		why = "kernel.io_uring_disabled is 2: set it to 0 (sysctl) to allow io_uring"
	case errno == unix.EPERM && disabled == "1":
		why = "kernel.io_uring_disabled is 1: set it to 0 (sysctl), or join the group kernel.io_uring_group"
	case errno == unix.EPERM:
		why = "a seccomp filter forbids io_uring, as Docker's default profile does: allow io_uring_setup, io_uring_enter and io_uring_register in it"
	case errno == unix.ENOSYS:
		why = "this kernel has no io_uring, or a seccomp filter hides it: use Linux 6.1 or later, or allow it in the filter"
	case errno == unix.EINVAL:
		why = "this kernel's io_uring is too old: use Linux 6.1 or later"
	}
	if why == "" {
		return fmt.Errorf("ring: io_uring_setup: %w", errno)
	}
	return fmt.Errorf("ring: %s (io_uring_setup: %w)", why, errno)
}
