package nemesis

import (
	"net"
	"sync/atomic"
	"time"
)

// link is the way of one chatd to one NATS server, which can be made slow. It carries octets
// in their order.
type link struct {
	listener net.Listener
	target   string
	delay    atomic.Int64 // of each octet, in nanoseconds
	rate     atomic.Int64 // octets a second each way; 0: as fast as it goes
}

// newLink listens at an address of the test's own. It ends with the listener.
func newLink(host, target string) (*link, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	way := &link{listener: l, target: target}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go way.connect(from)
		}
	}()
	return way, nil
}

// set makes the link slow, or as it was.
func (l *link) set(delay time.Duration, rate int) {
	l.delay.Store(int64(delay))
	l.rate.Store(int64(rate))
}

func (l *link) connect(from net.Conn) {
	to, err := net.DialTimeout("tcp", l.target, time.Second)
	if err != nil {
		from.Close()
		return
	}
	go l.carry(to, from)
	l.carry(from, to)
}

// piece is octets on their way.
type piece struct {
	octets []byte
	due    time.Time
}

// carry carries octets one way until either side ends, and then ends both.
func (l *link) carry(to, from net.Conn) {
	way := make(chan piece, 64)
	go func() {
		defer close(way)
		for {
			octets := make([]byte, 16<<10)
			n, err := from.Read(octets)
			if n > 0 {
				way <- piece{octets[:n], time.Now().Add(time.Duration(l.delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range way {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.octets); err != nil {
			break
		}
		if rate := l.rate.Load(); rate > 0 {
			time.Sleep(time.Duration(len(p.octets)) * time.Second / time.Duration(rate))
		}
	}
	to.Close()
	from.Close()
	for range way { // until the reader has ended
	}
}
