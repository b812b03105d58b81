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
	"os"
	"time"

	"chatbench/core/wire"
)

const (
	// blockTimeout is how long a block may take on its way: who takes fewer than
	// 18 KB/s for that long would hold a slot for ever.
	blockTimeout = 30 * time.Second
	// slowestDisk is how many octets of a prefix are hashed in a second even on
	// a machine that has much else to do.
	slowestDisk = 20 << 20
)

// Why a transfer failed though it was begun.
var (
	ErrTruncated = errors.New("transfer: it broke off before the end")
	ErrChecksum  = errors.New("transfer: what arrived is not what was shared: the checksum differs")
	errFormat    = errors.New("transfer: the sharer does not keep to the protocol")
)

// hello is what the downloader says first.
type hello struct {
	token  [wire.TokenSize]byte
	offset int64             // where to go on; 0 for the beginning
	prefix [sha256.Size]byte // of what comes before
}

const helloSize = wire.TokenSize + 8 + sha256.Size

func (h hello) append(b []byte) []byte {
	b = append(b, h.token[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.offset))
	return append(b, h.prefix[:]...)
}

func readHello(r io.Reader) (h hello, err error) {
	var b [helloSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return hello{}, err
	}
	copy(h.token[:], b[:])
	h.offset = int64(binary.BigEndian.Uint64(b[wire.TokenSize:]))
	copy(h.prefix[:], b[wire.TokenSize+8:])
	return h, nil
}

// headSize is what the sharer says before the data: the offset it begins at
// and the length of the whole file.
const headSize = 8 + 8

// sendBare sends a file to a client that knows no more.
func sendBare(conn *net.TCPConn, f *os.File) error {
	for {
		conn.SetWriteDeadline(time.Now().Add(blockTimeout))
		if n, err := io.CopyN(conn, f, block); errors.Is(err, io.EOF) {
			return conn.CloseWrite() // its only sign of the end
		} else if err != nil {
			return fmt.Errorf("after %d octets: %w", n, err)
		}
	}
}

var errChanged = errors.New("transfer: the file was changed while it was sent")

// sendChecked sends a file from where it is wanted, and its checksum behind it.
//
// Each block is read, sent, and summed while the next is on its way: what is
// summed is what was sent. The sum of all of a file that was sent before is
// known; then the other side's alone costs time.
func (s *sending) sendChecked(ctx context.Context, conn *net.TCPConn, wanted hello) error {
	f, sum, began := s.data, sha256.New(), time.Now()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	s.version = versionOf(info)
	at, err := resume(ctx, f, size, wanted, sum)
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint64(nil, uint64(at))
	head = binary.BigEndian.AppendUint64(head, uint64(size))
	conn.SetWriteDeadline(time.Now().Add(blockTimeout))
	if _, err := conn.Write(head); err != nil {
		return err
	}
	whole, known := s.digests.of(s.version)
	if known {
		sum = nil
	}
	if err := sendBlocks(conn, f, at, size, sum); err != nil {
		return err
	}
	if !s.version.unchanged(f) {
		return errChanged
	}
	if !known {
		whole = [sha256.Size]byte(sum.Sum(nil))
		s.digests.keep(s.version, whole, began)
	}
	conn.SetWriteDeadline(time.Now().Add(blockTimeout))
	_, err = conn.Write(whole[:])
	return err
}

// sendBlocks sends a file from at to size and sums it, unless sum is nil.
func sendBlocks(conn *net.TCPConn, f io.ReaderAt, at, size int64, sum hash.Hash) error {
	beside := sumBeside(sum)
	defer beside.wait()
	for at < size {
		b := beside.take()
		n, err := f.ReadAt(b[:min(block, size-at)], at)
		if n == 0 {
			return fmt.Errorf("the file became shorter: %w", err)
		}
		conn.SetWriteDeadline(time.Now().Add(blockTimeout))
		if _, err := conn.Write(b[:n]); err != nil {
			return err
		}
		beside.put(b[:n])
		at += int64(n)
	}
	return nil
}

// resume says where to begin: where it is wanted if what comes before is the
// same on both sides, else at the beginning. sum then has what comes before.
func resume(ctx context.Context, f *os.File, size int64, wanted hello, sum hash.Hash) (int64, error) {
	if wanted.offset <= 0 || wanted.offset > size {
		return 0, nil
	}
	buf := make([]byte, block)
	for at := int64(0); at < wanted.offset; at += block {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := hashRange(sum, f, at, min(block, wanted.offset-at), buf); err != nil {
			return 0, err
		}
	}
	if [sha256.Size]byte(sum.Sum(nil)) != wanted.prefix {
		sum.Reset()
		return 0, nil
	}
	return wanted.offset, nil
}

// hashRange adds n octets of a file to a sum. Less is an error.
func hashRange(sum hash.Hash, f io.ReaderAt, at, n int64, buf []byte) error {
	for n > 0 {
		k, err := f.ReadAt(buf[:min(int64(len(buf)), n)], at)
		sum.Write(buf[:k])
		at, n = at+int64(k), n-int64(k)
		if n > 0 && err != nil {
			return fmt.Errorf("the file became shorter: %w", err)
		}
	}
	return nil
}

// farewell waits until the other side has closed, so that what was sent has
// arrived, and frees the slot before we close: whoever sees that may ask again.
func farewell(conn *net.TCPConn, free func()) error {
	conn.SetReadDeadline(time.Now().Add(blockTimeout))
	var rest [64]byte
	for {
		if _, err := conn.Read(rest[:]); errors.Is(err, io.EOF) {
			free()
			return nil
		} else if err != nil {
			return err
		}
	}
}

// cause strips what net puts around an error: who it was is said already.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
