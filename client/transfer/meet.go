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
	// strangersMost is how many connections may be looked at at once: someone
	// else may find the port first, and must not keep the right one out.
	strangersMost = 8
	helloTimeout  = 5 * time.Second
)

// Ports is a range of ports to share on; the zero value is any.
type Ports struct{ Low, High uint16 }

// ParsePorts reads a range: LOW-HIGH.
func ParsePorts(text string) (Ports, error) {
	low, high, _ := strings.Cut(text, "-")
	l, err1 := strconv.ParseUint(low, 10, 16)
	h, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil || l < firstUserPort || h < l {
		return Ports{}, fmt.Errorf("want LOW-HIGH, ports from %d to 65535, not %q", firstUserPort, text)
	}
	return Ports{uint16(l), uint16(h)}, nil
}

// listen opens a listener on a port that cannot be foretold.
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
	return nil, fmt.Errorf("transfer: all ports from %d to %d are taken: give -share-ports more", p.Low, p.High)
}

var errNotFetched = fmt.Errorf("transfer: nobody came for it in %v", fetchTimeout)

// meet waits for the one who asked. Others who find the port are closed
// without a word; they are looked at side by side, so that one who connects
// and says nothing keeps nobody waiting.
func (s *sending) meet(ctx context.Context) (*net.TCPConn, hello, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.listener.Close() })()
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel() // those who are looked at while the right one has come
	type guest struct {
		conn  *net.TCPConn
		hello hello
	}
	right, places := make(chan guest), make(chan struct{}, strangersMost)
	looking.Go(func() {
		for {
			conn, err := s.listener.AcceptTCP()
			if err != nil {
				return
			}
			select {
			case places <- struct{}{}:
			default:
				conn.Close()
				continue
			}
			looking.Go(func() {
				defer func() { <-places }()
				h, ok := s.look(ctx, conn)
				if ok {
					select {
					case right <- guest{conn, h}:
						return
					case <-ctx.Done():
					}
				}
				conn.Close()
			})
		}
	})
	select {
	case g := <-right:
		s.listener.Close()
		return g.conn, g.hello, nil
	case <-ctx.Done():
		return nil, hello{}, errNotFetched
	}
}

// look says whether a connection is the right one: who knows the token asked.
func (s *sending) look(ctx context.Context, conn *net.TCPConn) (hello, bool) {
	if s.legacy {
		return hello{}, true // the first one is taken for the right one
	}
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	conn.SetReadDeadline(time.Now().Add(helloTimeout))
	h, err := readHello(conn)
	return h, err == nil && subtle.ConstantTimeCompare(h.token[:], s.token) == 1
}
