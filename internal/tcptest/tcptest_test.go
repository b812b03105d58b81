package tcptest

import (
	"fmt"
	"net"
	"testing"
)

// A free port is given once, also to tests in other processes, and a server can listen on it again
// and again.
func TestFreePorts(t *testing.T) {
	ports, err := FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		if reserve(port) == nil {
			t.Errorf("%d is given twice", port)
		}
		for range 2 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			served, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			served.Close() // first, so that the port is in TIME_WAIT
			c.Close()
			l.Close()
		}
	}
}
