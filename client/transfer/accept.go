package transfer

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	firstUserPort = 1024
	// maxUnverified is how many connections may be verified at once: someone else may
	// find the port first, and must not keep the requester out.
	maxUnverified = 8
	helloTimeout  = 5 * time.Second
)

// Ports is a range of ports to share on; the zero value allows any port.
type Ports struct{ Low, High uint16 }

// ParsePorts parses a range: LOW-HIGH.
func ParsePorts(text string) (Ports, error) {
	low, high, _ := strings.Cut(text, "-")
	l, err1 := strconv.ParseUint(low, 10, 16)
	h, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil || l < firstUserPort || h < l {
		return Ports{}, fmt.Errorf("want LOW-HIGH, ports from %d to 65535, not %q", firstUserPort, text)
	}
	return Ports{uint16(l), uint16(h)}, nil
}

// listen opens a listener on a random port of the range.
func (p Ports) listen(on netip.Addr) (*net.TCPListener, error) {
	if p == (Ports{}) {
		return listenOn(on, 0)
	}
	n := int(p.High-p.Low) + 1
	first := rand.IntN(n)
	for i := range n {
		port := p.Low + uint16((first+i)%n)
		l, err := listenOn(on, port)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
	return nil, fmt.Errorf("transfer: all ports from %d to %d are in use: give -share-ports a larger range", p.Low, p.High)
}

var errNotFetched = fmt.Errorf("transfer: the requester did not connect within %v", fetchTimeout)

// accept waits for the connection of the requester. Connections of others, who may
// find the port too, are closed without an answer. Several are verified at once, so
// that one that sends nothing delays nobody.
func (s *sending) accept(ctx context.Context) (*net.TCPConn, hello, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.listener.Close() })()
	var verifying sync.WaitGroup
	defer verifying.Wait()
	defer cancel() // ends the verifications that are still under way
	type requester struct {
		conn  *net.TCPConn
		hello hello
	}
	verified, slots := make(chan requester), make(chan struct{}, maxUnverified)
	verifying.Go(func() {
		for {
			conn, err := s.listener.AcceptTCP()
			if err != nil {
				return
			}
			select {
			case slots <- struct{}{}:
			default:
				conn.Close()
				continue
			}
			verifying.Go(func() {
				defer func() { <-slots }()
				h, ok := s.verify(ctx, conn)
				if ok {
					select {
					case verified <- requester{conn, h}:
						return
					case <-ctx.Done():
					}
				}
				conn.Close()
			})
		}
	})
	select {
	case r := <-verified:
		s.listener.Close()
		return r.conn, r.hello, nil
	case <-ctx.Done():
		return nil, hello{}, errNotFetched
	}
}

// verify reads the hello of a connection, and says whether it has the right token.
func (s *sending) verify(ctx context.Context, conn *net.TCPConn) (hello, bool) {
	if s.legacy {
		return hello{}, true // without tokens the first connection is accepted
	}
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	conn.SetReadDeadline(time.Now().Add(helloTimeout))
	h, err := readHello(conn)
	return h, err == nil && subtle.ConstantTimeCompare(h.token[:], s.token) == 1
}
