package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// block is how many octets bare sockets write and read at a time, as clients do.
const block = 512 << 10

// Transfer is one measured transfer of as many octets as the file has.
type Transfer struct {
	NS  int64 `json:"ns"`
	CPU int64 `json:"cpu_ns"` // of this process, which has both ends
	RSS int64 `json:"rss_growth,omitempty"`
	// PerSecond is in octets a second.
	PerSecond float64 `json:"octets_per_second"`
}

// stopwatch measures one Transfer.
type stopwatch struct {
	began time.Time
	cpu   int64
}

func start() stopwatch { return stopwatch{time.Now(), cpuTime()} }

func (s stopwatch) stop(octets int64) Transfer {
	took := time.Since(s.began)
	return Transfer{NS: int64(took), CPU: cpuTime() - s.cpu, PerSecond: float64(octets) / took.Seconds()}
}

// cpuTime is the CPU time of this process, in nanoseconds.
func cpuTime() int64 {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// bare measures a transfer over bare sockets: zeros are written, and what is read is discarded.
func bare(ctx context.Context, octets int64) (Transfer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Transfer{}, fmt.Errorf("fetch: bare sockets: %w", err)
	}
	defer l.Close()
	to, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return Transfer{}, fmt.Errorf("fetch: bare sockets: %w", err)
	}
	defer to.Close()
	from, err := l.Accept()
	if err != nil {
		return Transfer{}, fmt.Errorf("fetch: bare sockets: %w", err)
	}
	defer from.Close()
	defer context.AfterFunc(ctx, func() { to.Close(); from.Close() })()
	watch, sent := start(), make(chan error, 1)
	go func() { sent <- writeZeros(from, octets) }()
	got, err := discard(to)
	err = errors.Join(err, <-sent)
	if err == nil && got != octets {
		err = fmt.Errorf("only %d octets of %d came", got, octets)
	}
	if err != nil {
		return Transfer{}, fmt.Errorf("fetch: bare sockets: %w", err)
	}
	return watch.stop(octets), nil
}

func writeZeros(to net.Conn, octets int64) error {
	b := make([]byte, block)
	for octets > 0 {
		n, err := to.Write(b[:min(octets, block)])
		if err != nil {
			return err
		}
		octets -= int64(n)
	}
	return to.Close()
}

func discard(from net.Conn) (octets int64, err error) {
	b := make([]byte, block)
	for {
		n, err := from.Read(b)
		octets += int64(n)
		if errors.Is(err, io.EOF) {
			return octets, nil
		} else if err != nil {
			return octets, err
		}
	}
}

// sumSpeed is how many octets one core hashes in a second.
func sumSpeed() float64 {
	const times = 64
	b, h, began := make([]byte, block), sha256.New(), time.Now()
	for range times {
		h.Write(b)
	}
	return times * block / time.Since(began).Seconds()
}
