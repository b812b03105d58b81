package front

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// unreading is a client that takes nothing, and sends what it is given.
type unreading struct {
	net.Conn
	words io.Reader
}

func (u unreading) Read(p []byte) (int, error) { return u.words.Read(p) }

// What a client sends reaches the transport while the client reads nothing, whatever the sizes
// of what waits for it: first a few large segments, then small ones until the transport can write no more.
func TestHeardWhileItDoesNotRead(t *testing.T) {
	var all sync.WaitGroup
	for large := range 8 {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		words, speak := io.Pipe()
		s, _ := carryFor(t, unreading{ours, words}, linger)
		all.Go(func() {
			defer speak.Close()
			s.SetWriteBuffer(32 << 10)
			chunk := make([]byte, 16<<10)
			for i, err := 0, error(nil); err == nil; i++ {
				size := len(chunk)
				if i >= large {
					size = 1 + i*7%100
				}
				s.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				_, err = s.Write(chunk[:size])
			}
			want := random(100 << 10)
			go speak.Write(want)
			got := make([]byte, len(want))
			s.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d large segments: the transport got %d octets of %d, and then %v", large, n, len(want), err)
			}
		})
	}
	all.Wait()
}
