package web

import (
	"net"
	"testing"
	"time"
)

// One connection more than there may be waits until another ends, or the listener.
func TestLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 2)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	var served []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range 2 {
		c := <-accepted
		defer c.Close()
		served = append(served, c)
	}
	select {
	case <-accepted:
		t.Fatal("a third is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	served[0].Close()
	served[0].Close() // gives back one place
	third := <-accepted
	defer third.Close()
	l.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Accept does not say that the listener is closed")
		}
	case <-time.After(30 * time.Second):
		t.Error("Accept waits for a place though the listener is closed")
	}
}
