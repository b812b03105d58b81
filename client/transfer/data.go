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
	// blockTimeout is how long sending one block may take. A receiver slower than
	// 18 KB/s is given up, so that it does not hold its slot for ever.
	blockTimeout = 30 * time.Second
	// slowestDisk is how many octets of a prefix are hashed in a second at least, even
	// on a busy machine.
	slowestDisk = 20 << 20
)

// Why a transfer failed after it had begun.
var (
	ErrTruncated = errors.New("transfer: broke off before the end")
	ErrChecksum  = errors.New("transfer: the file was damaged on its way: its checksum differs; download it again")
	errFormat    = errors.New("transfer: the sharer violates the protocol")
)

// hello is what the downloader sends first.
type hello struct {
	token  [wire.TokenSize]byte
	offset int64             // where to continue; 0 is the beginning
	prefix [sha256.Size]byte // checksum of what the downloader has
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

// headSize is the size of what the sharer sends before the data: the offset at which
// it begins, and the length of the whole file.
const headSize = 8 + 8

// sendUnchecked sends a file to a legacy client, without a head or a checksum.
func sendUnchecked(conn *net.TCPConn, f *os.File) error {
	for {
		conn.SetWriteDeadline(time.Now().Add(blockTimeout))
		if n, err := io.CopyN(conn, f, block); errors.Is(err, io.EOF) {
			return conn.CloseWrite() // this is how it learns of the end
		} else if err != nil {
			return fmt.Errorf("after %d octets: %w", n, err)
		}
	}
}

var errChanged = errors.New("transfer: the file was changed while it was sent")

// sendChecked sends a file from the wanted offset on, and then its checksum.
//
// Each block is read, sent, and hashed while the next one is sent, so the checksum is
// of what was sent. If the checksum of the file is known from an earlier transfer
// nothing is hashed.
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
	digest, known := s.digests.of(s.version)
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
		digest = [sha256.Size]byte(sum.Sum(nil))
		s.digests.keep(s.version, digest, began)
	}
	conn.SetWriteDeadline(time.Now().Add(blockTimeout))
	_, err = conn.Write(digest[:])
	return err
}

// sendBlocks sends a file from at to size and hashes it, unless sum is nil.
func sendBlocks(conn *net.TCPConn, f io.ReaderAt, at, size int64, sum hash.Hash) error {
	hasher := hashInBackground(sum)
	defer hasher.wait()
	for at < size {
		b := hasher.take()
		n, err := f.ReadAt(b[:min(block, size-at)], at)
		if n == 0 {
			return fmt.Errorf("the file has become shorter: %w", err)
		}
		conn.SetWriteDeadline(time.Now().Add(blockTimeout))
		if _, err := conn.Write(b[:n]); err != nil {
			return err
		}
		hasher.put(b[:n])
		at += int64(n)
	}
	return nil
}

// resume returns the offset to begin at: the wanted one if what comes before is the
// same on both sides, otherwise 0. It leaves in sum what comes before the offset.
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

// hashRange adds n octets of a file to a sum. Fewer are an error.
func hashRange(sum hash.Hash, f io.ReaderAt, at, n int64, buf []byte) error {
	for n > 0 {
		k, err := f.ReadAt(buf[:min(int64(len(buf)), n)], at)
		sum.Write(buf[:k])
		at, n = at+int64(k), n-int64(k)
		if n > 0 && err != nil {
			return fmt.Errorf("the file has become shorter: %w", err)
		}
	}
	return nil
}

// awaitClose waits until the other side has closed, which means that everything has
// arrived. It frees the slot before this side closes: the other side may ask again as
// soon as it sees that.
func awaitClose(conn *net.TCPConn, free func()) error {
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
