package nemesis

import (
	"net"
	"sync/atomic"
	"time"
)

// link is a proxy between one chatd and one NATS server that can be made slow. It keeps the
// order of the octets.
type link struct {
	listener net.Listener
	target   string
	delay    atomic.Int64 // of each octet, in nanoseconds
	rate     atomic.Int64 // octets a second each way; 0: no limit
}

// newLink listens on an address of the test. The link ends with the listener.
func newLink(host, target string) (*link, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	proxy := &link{listener: l, target: target}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go proxy.connect(from)
		}
	}()
	return proxy, nil
}

// set sets the delay and the rate of the link.
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
	go l.copyOneWay(to, from)
	l.copyOneWay(from, to)
}

// piece is octets that are delayed.
type piece struct {
	octets []byte
	due    time.Time
}

// copyOneWay copies octets in one direction until either side ends, and then closes both.
func (l *link) copyOneWay(to, from net.Conn) {
	pieces := make(chan piece, 64)
	go func() {
		defer close(pieces)
		for {
			octets := make([]byte, 16<<10)
			n, err := from.Read(octets)
			if n > 0 {
				pieces <- piece{octets[:n], time.Now().Add(time.Duration(l.delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
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
	for range pieces { // until the reader has ended
	}
}
