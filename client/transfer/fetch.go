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

// Progress is how far a download has come. Any goroutine may read it.
type Progress struct {
	done, total, from atomic.Int64
	begun             atomic.Int64 // nanoseconds since 1970; 0: nothing has come
}

// Snapshot returns how many octets are there, of how many in total (0 if unknown), how
// many of them an earlier try had left, and when the rest began to come.
func (p *Progress) Snapshot() (done, total, from int64, begun time.Time) {
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

// Saved is a file that was downloaded.
type Saved struct {
	Name    string // in the directory for downloads
	Path    string // to be shown to the user
	Size    int64
	Checked bool // against the sharer's checksum
}

// Fetch downloads a file that a user shares. It continues an earlier try.
func (p *Peer) Fetch(ctx context.Context, c *client.Client, user, file string, progress *Progress) (s Saved, err error) {
	if p.o.Downloads == nil {
		return s, errors.New("transfer: there is no directory for downloads: add -downloads DIR")
	}
	release, err := p.acquire(ctx, user)
	if err != nil {
		return s, err
	}
	defer release()
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

// acquire waits until this sharer can send one more file to us. It would refuse a
// request beyond that.
func (p *Peer) acquire(ctx context.Context, user string) (release func(), err error) {
	p.mu.Lock()
	semaphore := p.semaphores[fold(user)]
	if semaphore == nil {
		semaphore = make(chan struct{}, maxFetchesPerUser)
		if p.o.Legacy {
			semaphore = make(chan struct{}, 1) // a legacy sharer does not show when it can send more
		}
		p.semaphores[fold(user)] = semaphore
	}
	p.mu.Unlock()
	select {
	case semaphore <- struct{}{}:
		return func() { <-semaphore }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// fetching is one file being downloaded.
type fetching struct {
	peer     *Peer
	part     *downloads.Part
	sum      hash.Hash // checksum of the part
	progress *Progress
	user     string
}

func (f *fetching) run(ctx context.Context, c *client.Client, user, file string) (Saved, error) {
	// The prefix is hashed before the request is sent, since the sharer waits only 10 s.
	if err := f.prefix(ctx); err != nil {
		return Saved{}, err
	}
	a, err := f.peer.ask(ctx, c, wire.DnReq, user, file)
	if err != nil {
		return Saved{}, err
	}
	checked := len(a.ack.Token) > 0
	if !checked && !f.peer.o.Legacy {
		return Saved{}, fmt.Errorf("%w: to download from such clients, without any check, use chat -p2p legacy", ErrNoToken)
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
		err = f.receiveUnchecked(conn)
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

// prefix hashes what an earlier try has left.
func (f *fetching) prefix(ctx context.Context) error {
	if f.peer.o.Legacy {
		return nil // legacy downloads begin at 0
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

// connect connects to the address in the answer to our request.
func (f *fetching) connect(ctx context.Context, ack wire.Ack) (net.Conn, error) {
	to := netip.AddrPortFrom(ack.Addr.Unmap(), ack.Port)
	if ack.Port < firstUserPort || ack.Addr.IsUnspecified() || ack.Addr.IsMulticast() {
		return nil, fmt.Errorf("transfer: the sharer named %s, which is no address to download from", to)
	}
	conn, err := f.peer.dial(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("transfer: cannot reach %s at %s: %w: %s", f.user, to, client.Cause(err), unreachable(to.Addr()))
	}
	return conn, nil
}

// unreachable says what is likely to block the way to a sharer's address.
func unreachable(a netip.Addr) string {
	const direct = "files go directly from client to client, not through the server; "
	if a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() {
		return direct + "that address is reachable only from that client's own machine or network (see -share-address there)"
	}
	return direct + "a firewall or NAT on that side may block connections (see -share-ports there)"
}

// receive receives the file from a sharer that has given us a token.
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
			tcp.SetLinger(0) // a reset tells the sharer
		}
		return ErrChecksum
	}
	f.finish(conn)
	return nil
}

// receiveUnchecked receives whatever comes until the sharer closes.
func (f *fetching) receiveUnchecked(conn net.Conn) error {
	if err := f.part.Restart(); err != nil {
		return err
	}
	f.progress.begin(0, 0)
	err := f.copy(conn, 1<<63-1)
	if !errors.Is(err, errEnd) {
		return err
	}
	f.finish(conn)
	return nil
}

// finish closes our side and waits until the sharer closes its own, which it does when
// it can send the next file. Asked before that it may refuse.
func (f *fetching) finish(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		conn.SetReadDeadline(time.Now().Add(stallTimeout))
		conn.Read(make([]byte, 1))
	}
}

// errEnd means that the sharer has closed its side.
var errEnd = fmt.Errorf("%w: the sharer closed the connection", ErrTruncated)

// copy receives n octets. Each block is written when it is full, and hashed while the
// next one is received. If the transfer breaks off, an incomplete block is kept too.
func (f *fetching) copy(conn net.Conn, n int64) error {
	hasher := hashInBackground(f.sum)
	defer hasher.wait()
	for n > 0 {
		b := hasher.take()
		k, err := f.fill(conn, b[:min(block, n)])
		if k > 0 {
			if _, err := f.part.Write(b[:k]); err != nil {
				return err
			}
			hasher.put(b[:k])
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

// fill reads until b is full or nothing more comes.
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

// broken is the error of a transfer that broke off.
func broken(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: nothing came for %v", ErrTruncated, stallTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errEnd
	}
	return fmt.Errorf("%w: %w", ErrTruncated, client.Cause(err))
}
