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
	// chunk is how much is sent between two looks at the clock.
	chunk = 1 << 20
	// chunkTimeout is how long a chunk may take: who reads slower than 35 KB/s
	// for that long would hold a slot for ever.
	chunkTimeout = 30 * time.Second
	// slowestDisk is how many octets of a prefix are hashed in a second even on
	// a machine that has much else to do.
	slowestDisk = 20 << 20
	block       = 128 << 10
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
		conn.SetWriteDeadline(time.Now().Add(chunkTimeout))
		if n, err := io.CopyN(conn, f, chunk); errors.Is(err, io.EOF) {
			return conn.CloseWrite() // its only sign of the end
		} else if err != nil {
			return fmt.Errorf("after %d octets: %w", n, err)
		}
	}
}

// sendChecked sends a file from where it is wanted, and its checksum behind it.
//
// The data goes from the page cache to the socket by sendfile, and its sum is
// made beside it, chunk by chunk, from the same pages: on one core that costs
// no more than reading, summing and writing, on two it takes half the time. A
// file that changes between the two is noticed at the other end.
func sendChecked(ctx context.Context, conn *net.TCPConn, f *os.File, size int64, wanted hello) error {
	sum := sha256.New()
	at, err := resume(ctx, f, size, wanted, sum)
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint64(nil, uint64(at))
	head = binary.BigEndian.AppendUint64(head, uint64(size))
	conn.SetWriteDeadline(time.Now().Add(chunkTimeout))
	if _, err := conn.Write(head); err != nil {
		return err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, block)
	for at < size {
		n := min(chunk, size-at)
		summed := make(chan error, 1)
		go func() { summed <- hashRange(sum, f, at, n, buf) }()
		conn.SetWriteDeadline(time.Now().Add(chunkTimeout))
		_, err := io.CopyN(conn, f, n)
		if err = errors.Join(<-summed, err); err != nil {
			return err
		}
		at += n
	}
	conn.SetWriteDeadline(time.Now().Add(chunkTimeout))
	_, err = conn.Write(sum.Sum(nil))
	return err
}

// resume says where to begin: where it is wanted if what comes before is the
// same on both sides, else at the beginning. sum then has what comes before.
func resume(ctx context.Context, f *os.File, size int64, wanted hello, sum hash.Hash) (int64, error) {
	if wanted.offset <= 0 || wanted.offset > size {
		return 0, nil
	}
	buf := make([]byte, block)
	for at := int64(0); at < wanted.offset; at += chunk {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := hashRange(sum, f, at, min(chunk, wanted.offset-at), buf); err != nil {
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
	conn.SetReadDeadline(time.Now().Add(chunkTimeout))
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
