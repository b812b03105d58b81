package server

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"chatbench/core/wire"
)

// While a server is flooded with logins that are cut off at once, a client at another address
// can log in with the right password.
func TestFloodOverTCP(t *testing.T) {
	path := usersFile(t)
	names := []string{"alice", "bob", "carol"}
	writeUsers(t, path, names...)
	r := start(t, func(o *Options) { o.Open, o.Users, o.LoginTimeout = false, path, time.Minute })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	go func() {
		defer close(ended)
		for i := 0; ctx.Err() == nil; i++ {
			c, err := dialer.Dial("tcp", r.addr)
			if err != nil {
				t.Error(err)
				return
			}
			c.Write(wire.AppendCred(nil, fmt.Sprint("nobody", i), "x"))
			time.Sleep(time.Millisecond)
			c.(*net.TCPConn).SetLinger(0) // RST
			c.Close()
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
