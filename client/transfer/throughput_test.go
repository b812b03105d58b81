package transfer

import (
	"crypto/sha256"
	"flag"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/client/downloads"
)

var throughput = flag.Int("throughput", 0, "MiB to send in TestThroughput; 0 leaves it out")

// TestThroughput compares a checked transfer with bare sockets, in turns. It prints the
// results and does not judge them.
func TestThroughput(t *testing.T) {
	if *throughput == 0 {
		t.Skip("add -throughput 1024 to run it")
	}
	size := int64(*throughput) << 20
	dir := t.TempDir()
	source := filepath.Join(dir, "big")
	fill(t, source, size)
	for range 3 {
		bare := timed(t, size, func(conn *net.TCPConn) {
			buf := make([]byte, block)
			for left := size; left > 0; left -= block {
				conn.Write(buf)
			}
			conn.Close()
		}, func(conn *net.TCPConn) {
			buf := make([]byte, block)
			for {
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		})
		checked := timed(t, size, func(conn *net.TCPConn) {
			defer conn.Close()
			f, err := os.Open(source)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			h, err := readHello(conn)
			if err == nil {
				s := sending{data: f, digests: new(digests)}
				err = s.sendChecked(t.Context(), conn, h)
			}
			if err == nil {
				err = awaitClose(conn, func() {})
			}
			if err != nil {
				t.Error(err)
			}
		}, func(conn *net.TCPConn) {
			to, err := downloads.Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			part, err := to.Begin("bob", "got")
			if err != nil {
				t.Error(err)
				return
			}
			f := fetching{peer: New(Options{}), part: part, sum: sha256.New(), progress: new(Progress)}
			defer f.peer.Close()
			if err := f.receive(conn, make([]byte, 32)); err != nil {
				t.Error(err)
			}
			part.Discard()
		})
		t.Logf("bare %.0f MB/s, checked %.0f MB/s: %.2f", bare, checked, checked/bare)
	}
}

// timed runs the two ends of a connection and returns MB/s. It logs the process's CPU
// time.
func timed(t *testing.T, size int64, send, receive func(*net.TCPConn)) float64 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
			send(conn.(*net.TCPConn))
		}
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before, began := cpu(t), time.Now()
	receive(conn.(*net.TCPConn))
	<-sent
	took := time.Since(began)
	t.Logf("%v, CPU %v", took.Round(time.Millisecond), cpu(t)-before)
	return float64(size) / 1e6 / took.Seconds()
}

func cpu(t *testing.T) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// fill writes a file whose blocks differ.
func fill(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, block)
	for at := int64(0); at < size; at += block {
		for i := range buf {
			buf[i] = byte(at>>17) ^ byte(i) ^ byte(i>>8)
		}
		if _, err := f.Write(buf[:min(block, size-at)]); err != nil {
			t.Fatal(err)
		}
	}
}
