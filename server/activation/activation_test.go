package activation

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// firstOfTest is the first descriptor in tests: those from 3 on are in use.
const firstOfTest = 200

var names = []string{"chat", "web", "admin"}

// pass makes n listening sockets with the descriptors from firstOfTest on, which are not closed
// on exec, as a service manager passes them. It returns their addresses.
func pass(t *testing.T, n int) (addresses []string) {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	for i := range n {
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := l.(*net.TCPListener).File()
		if err == nil {
			err = unix.Dup3(int(file.Fd()), firstOfTest+i, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		l.Close()
		addresses = append(addresses, l.Addr().String())
		t.Cleanup(func() { unix.Close(firstOfTest + i) }) // one that was taken is closed already
	}
	return addresses
}

// environment is an environment with sockets for this process.
func environment(fds, fdNames string) func(string) string {
	return func(name string) string {
		return map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": fds, "LISTEN_FDNAMES": fdNames}[name]
	}
}

// Each socket is found by its name, in any order. A single socket without a name gets the first
// name.
func TestTake(t *testing.T) {
	for _, c := range []struct {
		names string
		want  []string // by descriptor
	}{
		{"chat", []string{"chat"}}, {"", []string{"chat"}}, {"unknown", []string{"chat"}}, {"my-chat.socket", []string{"chat"}},
		{"web", []string{"web"}}, {"web:chat", []string{"web", "chat"}}, {"admin:web:chat", []string{"admin", "web", "chat"}},
	} {
		addresses := pass(t, len(c.want))
		got, err := take(firstOfTest, environment(strconv.Itoa(len(c.want)), c.names), names)
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%q: %v, %v", c.names, got, err)
			continue
		}
		for i, name := range c.want {
			if l := got[name]; l == nil || l.Addr().String() != addresses[i] {
				t.Errorf("%q: %s is %v, want %s", c.names, name, l, addresses[i])
				continue
			}
			got[name].Close()
			if c, err := net.Dial("tcp", addresses[i]); err == nil {
				c.Close()
				t.Errorf("%s is open after Close: a descriptor was left", name)
			}
		}
	}
}

// An error is one line, and the descriptors are not inherited after it.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ fds, names, want string }{
		{"", "", `LISTEN_FDS="": pass 1 to 3 sockets, one for each of chat, web, admin`},
		{"two", "", `LISTEN_FDS="two": pass`},
		{"0", "", `LISTEN_FDS="0": pass`},
		{"-1", "", `LISTEN_FDS="-1": pass`},
		{"4", "chat:chat:web:web", `LISTEN_FDS="4": pass 1 to 3`},
		{"1", "wbe", `a socket is named "wbe": name it chat or web or admin`},
		{"2", "", `a socket is named "": name it`},
		{"2", "chat.socket:chat.socket", `a socket is named "chat.socket"`},
		{"2", "chat:chat", "two sockets are named chat"},
		{"2", "chat", `LISTEN_FDNAMES="chat": 2 sockets are passed`},
		{"1", "chat:web", `LISTEN_FDNAMES="chat:web": 1 sockets are passed`},
		{"3", "chat:web:admin", "descriptor 202 is not a listening TCP socket: the socket admin must be one"},
	} {
		pass(t, 2) // of three that are announced the last is none
		got, err := take(firstOfTest, environment(c.fds, c.names), names)
		if err == nil || got != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q, %q: %v, %v, want %s", c.fds, c.names, got, err, c.want)
		}
	}
	pass(t, 1)
	if _, err := take(firstOfTest, environment("1", "wbe"), names); err == nil {
		t.Fatal("no error")
	}
	if flags, err := unix.FcntlInt(firstOfTest, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor would be inherited: %b, %v", flags, err)
	}
}

// Sockets for another process are ignored, and so are variables without LISTEN_PID. The variables
// are removed nevertheless, so that no child process finds them.
func TestOthers(t *testing.T) {
	for _, pid := range []string{"", "1", "self"} {
		t.Setenv("LISTEN_PID", pid)
		for _, v := range variables[1:] {
			t.Setenv(v, "1")
		}
		if got, err := Take(names...); got != nil || err != nil {
			t.Errorf("for %q: %v, %v", pid, got, err)
		}
		for _, v := range variables {
			if text, there := os.LookupEnv(v); there {
				t.Errorf("%s=%s is left", v, text)
			}
		}
	}
}
