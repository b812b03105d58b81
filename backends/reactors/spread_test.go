package reactors_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/socket"
)

// spread connects clients and returns how many connections each loop has, in descending order. It asks the
// kernel: the /proc/self/fdinfo of an epoll descriptor has a line for each descriptor that it watches.
func spread(t testing.TB, loops, clients int) (each []int) {
	t.Helper()
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { // Go opens its own epoll descriptor at the first use
		l.Close()
	}
	before := watched(t)
	r := serve(t, loops)
	for range clients {
		c, err := net.Dial("tcp", r.server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	for end := time.Now().Add(timeout); r.room.Snapshot().Clients < clients; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d clients were accepted", r.room.Snapshot().Clients, clients)
		}
	}
	for fd, n := range watched(t) {
		if _, ok := before[fd]; !ok {
			each = append(each, n-2) // the doorbell and the listener
		}
	}
	slices.Sort(each)
	slices.Reverse(each)
	return each
}

// watched returns how many descriptors each epoll descriptor of this process watches.
func watched(t testing.TB) map[string]int {
	t.Helper()
	all := make(map[string]int)
	paths, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if to, err := os.Readlink(path); err != nil || to != "anon_inode:[eventpoll]" {
			continue
		}
		fd := filepath.Base(path)
		info, err := os.ReadFile("/proc/self/fdinfo/" + fd)
		if err != nil {
			t.Fatal(err)
		}
		all[fd] = strings.Count(string(info), "tfd:")
	}
	return all
}

// kernelSpread returns how many connections the kernel gives to each of several listeners that share a port,
// in descending order.
func kernelSpread(t testing.TB, listeners, clients int) (each []int) {
	t.Helper()
	cfg := backends.Config{Listen: "127.0.0.1:0", Backlog: 2 * clients}
	var fds []int
	for range listeners {
		fd, addr, err := socket.ListenFD(cfg, true)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		cfg.Listen = addr.String()
		fds = append(fds, fd)
	}
	for range clients {
		c, err := net.Dial("tcp", cfg.Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for _, listener := range fds {
		n := 0
		for {
			fd, _, err := socket.Accept(listener)
			if err != nil {
				break
			}
			unix.Close(fd)
			n++
		}
		each = append(each, n)
	}
	slices.Sort(each)
	slices.Reverse(each)
	return each
}

// TestSpread: all loops have the same number of connections, give or take one for each loop that accepts at
// the same moment. With -v it also shows how the kernel alone would have spread them.
func TestSpread(t *testing.T) {
	const clients = 1000
	for _, loops := range []int{2, 4, 8} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			if testing.Verbose() {
				t.Logf("%d clients: the kernel alone %v", clients, kernelSpread(t, loops, clients))
			}
			even := spread(t, loops, clients)
			t.Logf("%d clients: handed over %v", clients, even)
			if len(even) != loops || sum(even) != clients {
				t.Fatalf("%d loops have %v connections of %d", loops, even, clients)
			}
			if even[0]-even[len(even)-1] > loops {
				t.Errorf("%d loops have %v connections", loops, even)
			}
		})
	}
}

func sum(of []int) (n int) {
	for _, k := range of {
		n += k
	}
	return n
}
