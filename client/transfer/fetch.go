package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"chatbench/client"
	"chatbench/client/downloads"
	"chatbench/core/wire"
)

// Progress is how far a fetch has come. It may be looked at from any goroutine.
type Progress struct {
	done, total, from atomic.Int64
	begun             atomic.Int64 // nanoseconds since 1970; 0: nothing has come
}

// Look gives what is there of how much, in octets (0 if that is not known),
// how much of it an earlier try had left, and when the rest began to come.
func (p *Progress) Look() (done, total, from int64, begun time.Time) {
	if at := p.begun.Load(); at != 0 {
		begun = time.Unix(0, at)
	}
	return p.done.Load(), p.total.Load(), p.from.Load(), begun
}

func (p *Progress) begin(at, total int64) {
	p.done.Store(at)
	p.from.Store(at)
	p.total.Store(total)
	p.begun.Store(time.Now().UnixNano())
}

// Saved is a file that was fetched.
type Saved struct {
	Name    string // in the directory for downloads
	Path    string // for people
	Size    int64
	Checked bool // against the sharer's checksum
}

// Fetch fetches a file that somebody shares. What an earlier try left is used.
func (p *Peer) Fetch(ctx context.Context, c *client.Client, user, file string, progress *Progress) (s Saved, err error) {
	if p.o.Downloads == nil {
		return s, errors.New("transfer: there is no directory for downloads: say -downloads DIR")
	}
	leave, err := p.enter(ctx, user)
	if err != nil {
		return s, err
	}
	defer leave()
	part, err := p.o.Downloads.Begin(fold(user), file)
	if err != nil {
		return s, err
	}
	f := fetching{peer: p, part: part, sum: sha256.New(), progress: progress, user: client.Safe([]byte(user))}
	if s, err = f.run(ctx, c, user, file); err == nil {
		return s, nil
	}
	if errors.Is(err, downloads.ErrFull) || errors.Is(err, ErrChecksum) {
		part.Discard()
	} else {
		part.Close()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return Saved{}, err
}

// enter waits until this sharer has room for one more. What it is asked for
// beyond that it would refuse.
func (p *Peer) enter(ctx context.Context, user string) (leave func(), err error) {
	p.mu.Lock()
	gate := p.gates[fold(user)]
	if gate == nil {
		gate = make(chan struct{}, fetchesEach)
		if p.o.Legacy {
			gate = make(chan struct{}, 1) // there is no sign of when it has room again
		}
		p.gates[fold(user)] = gate
	}
	p.mu.Unlock()
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// fetching is one file on its way to us.
type fetching struct {
	peer     *Peer
	part     *downloads.Part
	sum      hash.Hash // of the part
	progress *Progress
	user     string
}

func (f *fetching) run(ctx context.Context, c *client.Client, user, file string) (Saved, error) {
	// What is there is summed before anything is asked: the sharer waits 10 s.
	if err := f.prefix(ctx); err != nil {
		return Saved{}, err
	}
	a, err := f.peer.pose(ctx, c, wire.DnReq, user, file)
	if err != nil {
		return Saved{}, err
	}
	checked := len(a.ack.Token) > 0
	if !checked && !f.peer.o.Legacy {
		return Saved{}, fmt.Errorf("%w: chat -p2p legacy fetches from such clients, without any check", ErrNoToken)
	}
	conn, err := f.connect(ctx, a.ack)
	if err != nil {
		return Saved{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if checked {
		err = f.receive(conn, a.ack.Token)
	} else {
		err = f.receiveBare(conn)
	}
	if err != nil {
		return Saved{}, err
	}
	name, err := f.part.Commit()
	if err != nil {
		return Saved{}, err
	}
	return Saved{name, f.peer.o.Downloads.Path(name), f.part.Size(), checked}, nil
}

// prefix sums up what an earlier try left.
func (f *fetching) prefix(ctx context.Context) error {
	if f.peer.o.Legacy {
		return nil // a sharer that has a token can be asked from 0 as well
	}
	r, buf := f.part.Reader(), make([]byte, block)
	for ctx.Err() == nil {
		n, err := r.Read(buf)
		f.sum.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("transfer: %w", err)
		}
	}
	return context.Cause(ctx)
}

// connect dials the one address that answered our question.
func (f *fetching) connect(ctx context.Context, ack wire.Ack) (net.Conn, error) {
	to := netip.AddrPortFrom(ack.Addr.Unmap(), ack.Port)
	if ack.Port < firstUserPort || ack.Addr.IsUnspecified() || ack.Addr.IsMulticast() {
		return nil, fmt.Errorf("transfer: %s cannot be fetched from: that is no address to share on", to)
	}
	conn, err := f.peer.dial(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("transfer: cannot reach %s at %s: %w: %s", f.user, to, cause(err), unreachable(to.Addr()))
	}
	return conn, nil
}

// unreachable says what is likely in the way to a sharer's address.
func unreachable(a netip.Addr) string {
	const straight = "files go straight from client to client, not through the server; "
	if a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() {
		return straight + "that address is good only on that client's own machine or network (see -share-address there)"
	}
	return straight + "a firewall or NAT on that side may be in the way (see -share-ports there)"
}

// receive takes the file from a sharer who has given us a token.
func (f *fetching) receive(conn net.Conn, token []byte) error {
	h := hello{offset: f.part.Size(), prefix: [sha256.Size]byte(f.sum.Sum(nil))}
	if f.peer.o.Legacy {
		h.offset = 0
	}
	copy(h.token[:], token)
	conn.SetDeadline(time.Now().Add(stallTimeout + time.Duration(h.offset/slowestDisk)*time.Second))
	if _, err := conn.Write(h.append(nil)); err != nil {
		return broken(err)
	}
	var head [headSize]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return broken(err)
	}
	at, size := int64(binary.BigEndian.Uint64(head[:])), int64(binary.BigEndian.Uint64(head[8:]))
	if at != 0 && at != h.offset || size < at {
		return errFormat
	}
	if at == 0 {
		f.sum.Reset()
		if err := f.part.Restart(); err != nil {
			return err
		}
	}
	f.progress.begin(at, size)
	if err := f.copy(conn, size-at); err != nil {
		return err
	}
	var sum [sha256.Size]byte
	conn.SetReadDeadline(time.Now().Add(stallTimeout))
	if _, err := io.ReadFull(conn, sum[:]); err != nil {
		return broken(err)
	}
	if [sha256.Size]byte(f.sum.Sum(nil)) != sum {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // a reset: the sharer is to know
		}
		return ErrChecksum
	}
	f.farewell(conn)
	return nil
}

// receiveBare takes whatever comes until the sharer closes.
func (f *fetching) receiveBare(conn net.Conn) error {
	if err := f.part.Restart(); err != nil {
		return err
	}
	f.progress.begin(0, 0)
	err := f.copy(conn, 1<<63-1)
	if !errors.Is(err, errEnd) {
		return err
	}
	f.farewell(conn)
	return nil
}

// farewell closes our side and waits for the sharer's end, which comes when it
// has room for the next file.
func (f *fetching) farewell(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		conn.SetReadDeadline(time.Now().Add(time.Second))
		conn.Read(make([]byte, 1))
	}
}

// errEnd is that the sharer closed its side, between any two octets.
var errEnd = fmt.Errorf("%w: the sharer closed the connection", ErrTruncated)

// copy takes n octets: each block is written when it is full, and summed while
// the next comes. What came of the last one is kept too.
func (f *fetching) copy(conn net.Conn, n int64) error {
	beside := sumBeside(f.sum)
	defer beside.wait()
	for n > 0 {
		b := beside.take()
		k, err := f.fill(conn, b[:min(block, n)])
		if k > 0 {
			if _, err := f.part.Write(b[:k]); err != nil {
				return err
			}
			beside.put(b[:k])
			n -= int64(k)
		}
		if errors.Is(err, io.EOF) && n > 0 {
			return errEnd
		} else if err != nil && n > 0 {
			return broken(err)
		}
	}
	return nil
}

// fill reads until b is full, or nothing more comes.
func (f *fetching) fill(conn net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		conn.SetReadDeadline(time.Now().Add(stallTimeout))
		var k int
		k, err = conn.Read(b[n:])
		n += k
		f.progress.done.Add(int64(k))
	}
	return n, err
}

// broken says that it broke off, and why.
func broken(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: nothing came for %v", ErrTruncated, stallTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errEnd
	}
	return fmt.Errorf("%w: %w", ErrTruncated, cause(err))
}
