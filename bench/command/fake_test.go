package command

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatbench/bench/record"
	"chatbench/core/wire"
)

// TestMain is the tests, or one of the programs that bench starts: a chatd that
// has the backends good, other (which is as good), lossy, dying and stuck, and the null server.
func TestMain(m *testing.M) {
	switch os.Getenv("BENCH_FAKE") {
	case "":
		os.Exit(m.Run())
	case "chatd":
		os.Exit(fakeChatd(os.Args[1:]))
	case "loadgen":
		if os.Args[1] == "price" { // a clock that goes by what is counted, so that tests know what comes out
			fmt.Println(`{"call_ns":100,"trip_ns":3000}`)
			return
		}
		os.Exit(fakeChatd([]string{"-backend", "null"}))
	}
}

// bin makes a directory with programs of the names that bench looks for.
func bin(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"chatd", "loadgen"} {
		script := fmt.Sprintf("#!/bin/sh\nGORACE=atexit_sleep_ms=0 BENCH_FAKE=%s exec %s \"$@\"\n", name, self)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fakeChatd is a chat server of a few lines that can misbehave.
func fakeChatd(args []string) int {
	backend, secure := "", (*tls.Config)(nil)
	for i, a := range args {
		if a == "-list" {
			fmt.Print(`[{"name":"good"},{"name":"other"},{"name":"lossy"},{"name":"dying"},{"name":"stuck"}]`)
			return 0
		}
		switch a {
		case "-backend":
			backend = args[i+1]
		case "-tls-cert": // -tls-key follows
			pair, err := tls.LoadX509KeyPair(args[i+1], args[i+3])
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			secure = &tls.Config{Certificates: []tls.Certificate{pair}}
		}
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if backend == "stuck" {
		fmt.Fprintln(os.Stderr, "chatd: no good\nchatd: port in use")
		return 1
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	r := &room{backend: backend, names: make(map[string]net.Conn)}
	r.burn, _ = time.ParseDuration(os.Getenv("BENCH_BURN"))
	go r.serve(l)
	if backend == "null" {
		fmt.Printf("loadgen: null server listening on %s\n", l.Addr())
	} else {
		fmt.Printf(`{"event":"listening","backend":%q,"addr":%q,"pid":%d,"backlog":7}`+"\n", backend, l.Addr(), os.Getpid())
	}
	<-term
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Printf(`{"event":"stopped","counters":{"writes":%d,"bytes_out":%d},"ends":{"eof":1},"runtime":{"gc_cycles":1},"error":""}`+"\n", r.writes, r.octets)
	return 0
}

// room is all clients that are logged in.
type room struct {
	backend string
	mu      sync.Mutex
	members []net.Conn
	names   map[string]net.Conn
	said    int
	writes  int
	octets  int
	burn    time.Duration // CPU for each delivery
}

func (r *room) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go r.client(c)
	}
}

func (r *room) client(c net.Conn) {
	defer c.Close()
	var name string
	var decoder wire.Decoder
	buffer := make([]byte, 4096)
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return
		}
		for in := buffer[:n]; ; {
			f, rest, ok, err := decoder.Next(in)
			if err != nil || f.Type == wire.Close && ok {
				return
			}
			if !ok {
				break
			}
			in = rest
			switch f.Type {
			case wire.Cred:
				name, _, _ = strings.Cut(string(f.Body), " ")
				r.join(name, c)
				continue
			case wire.File:
				r.pass(name, f)
				continue
			}
			r.say(wire.AppendSaid(nil, name, f.Body))
		}
	}
}

// pass forwards a file frame; the lossy backend forwards no END.
func (r *room) pass(from string, f wire.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to, rest, _ := strings.Cut(string(f.Body), " ")
	if rest != "" {
		rest = " " + rest
	}
	if r.backend != "lossy" || f.Command != wire.LsEnd {
		r.names[to].Write(wire.AppendFile(nil, f.Command, from, []byte(rest)))
	}
}

func (r *room) join(name string, c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[name] = c
	c.Write(wire.AppendGranted(nil))
	r.members = append(r.members, c)
}

// say sends everybody a frame; the bad backends fail at the 20th message.
func (r *room) say(frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said++
	for i, m := range r.members {
		switch {
		case r.backend == "dying" && r.said == 20:
			fmt.Fprintln(os.Stderr, "chatd: out of luck")
			os.Exit(7)
		case r.backend == "lossy" && r.said == 20 && i == 1:
			continue
		}
		for begun := time.Now(); time.Since(begun) < r.burn; {
		}
		m.SetWriteDeadline(time.Now().Add(10 * time.Second))
		m.Write(frame)
		r.writes, r.octets = r.writes+1, r.octets+len(frame)
	}
}

// behind says whether the worst that a good backend did in the runs whose directories match a pattern is that it did
// not keep up: something kept its server from the CPU.
func behind(t *testing.T, pattern, backend string) (is bool) {
	t.Helper()
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		run, _, err := record.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range run.Rounds {
			for _, reason := range r.Void {
				if r.Backend == backend && reason.Violation() && reason != record.TargetMissed {
					return false
				}
				is = is || r.Backend == backend && reason == record.TargetMissed
			}
		}
	}
	return is
}
