package server

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"chatbench/core/wire"
)

// While a server is flooded with logins that are cut off at once, always more than it has hashing
// threads, a client at another address can log in with the right password.
func TestFloodOverTCP(t *testing.T) {
	path := usersFile(t)
	names := []string{"alice", "bob", "carol"}
	writeUsers(t, path, names...)
	flood := 2 * runtime.NumCPU()
	r := start(t, func(o *Options) {
		o.Open, o.Users, o.MaxClients, o.MaxPending = false, path, 100+3*flood, 100+3*flood
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	go func() {
		defer close(ended)
		for wave := 0; ctx.Err() == nil; wave++ {
			var conns []net.Conn
			for i := range flood {
				c, err := dialer.Dial("tcp", r.addr)
				if err != nil {
					t.Error(err)
					return
				}
				c.Write(wire.AppendCred(nil, fmt.Sprintf("nobody%dx%d", wave, i), "x"))
				conns = append(conns, c)
			}
			time.Sleep(time.Millisecond)
			for _, c := range conns {
				c.(*net.TCPConn).SetLinger(0) // RST
				c.Close()
			}
			time.Sleep(9 * time.Millisecond)
		}
	}()
	time.Sleep(100 * time.Millisecond)
	for _, name := range names {
		r.mustLogin(name, "secret")
	}
	stop()
	<-ended
	r.cancel()
	l, err := r.end()
	if err != nil {
		t.Error(err)
	}
	if l.Logins.Right != int64(len(names)) || l.Logins.Abandoned == 0 {
		t.Errorf("logins: %+v", l.Logins)
	}
}
