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
			if n := fill(s, large); n < 64<<10 {
				t.Errorf("%d large segments: %d octets wait for the client, too few for this test", large, n)
			}
			want := random(100 << 10)
			go speak.Write(want)
			got := make([]byte, len(want))
			s.SetReadDeadline(time.Now().Add(writeTimeout / 2))
			if n, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d large segments: the transport got %d octets of %d, and then %v", large, n, len(want), err)
			}
		})
	}
	all.Wait()
}

// fill writes large segments and then small ones until no more are taken, and returns how many octets
// were. It ends before writeTimeout, after which the front would give the client up.
func fill(s carried, large int) (octets int) {
	s.SetWriteBuffer(4 << 10)
	chunk := make([]byte, 16<<10)
	begun := time.Now()
	for i := 0; time.Since(begun) < writeTimeout/3; i++ {
		size := len(chunk)
		if i >= large {
			size = 1 + i*7%400
		}
		s.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := s.Write(chunk[:size])
		octets += n
		if err != nil && octets > 64<<10 { // fewer are taken only on a machine that has stopped meanwhile
			break
		}
	}
	return octets
}
