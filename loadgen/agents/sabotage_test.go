package agents

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/core/wire"
	"chatbench/loadgen/ledger"
)

// sabotage is a proxy between clients and a server that damages one message on its way to one
// client.
type sabotage struct {
	server string
	damage string
	victim int64 // the connection that suffers it, from 1
	seen   atomic.Int64
	done   atomic.Int64
}

func (s *sabotage) listen(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.carry(conn, s.seen.Add(1) == s.victim)
		}
	}()
	return l.Addr().String()
}

func (s *sabotage) carry(client net.Conn, victim bool) {
	defer client.Close()
	server, err := net.Dial("tcp", s.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	if !victim {
		io.Copy(client, server)
		return
	}
	decoder, buf, said := wire.Decoder{Max: wire.MaxFromServer}, make([]byte, 64<<10), 0
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		for in := buf[:n]; ; {
			f, rest, ok, err := decoder.Next(in)
			if err != nil || !ok {
				break
			}
			in = rest
			out := append(append([]byte{byte(f.Type)}, f.Body...), 0)
			if f.Type == wire.Chat {
				said++
			}
			if said == 100 && f.Type == wire.Chat {
				s.done.Add(1)
				switch s.damage {
				case "drop":
					continue
				case "duplicate":
					out = append(out, out...)
				case "alter":
					out[len(out)-2] ^= 1
				}
			}
			if _, err := client.Write(out); err != nil {
				return
			}
		}
	}
}

// TestSabotage: damage to one message on its way to one client is found by the agent of that client, and
// counted once in the result of all, whichever agent and sender it is.
func TestSabotage(t *testing.T) {
	c := newCoordinator(t, "127.0.0.1:0", 2)
	defer c.Close()
	for _, name := range []string{"one", "two"} {
		startAgent(t, "", c.Addr(), name, 1)
	}
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	server := serveNull(t, "127.0.0.1:0")
	for damage, want := range map[string]ledger.Tally{"drop": {Lost: 1}, "duplicate": {Duplicated: 1}, "alter": {Altered: 1}} {
		for _, victim := range []int64{2, 7} {
			s := &sabotage{server: server, damage: damage, victim: victim}
			cfg := plain(s.listen(t))
			r, err := c.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r.Ledger != want || !r.Void() || s.done.Load() != 1 {
				t.Errorf("%s for connection %d: %+v, %d times", damage, victim, r.Ledger, s.done.Load())
			}
		}
	}
}

// TestMischief: an agent that sends another message than the expected one is lost, and its
// place is free for another agent; a connection that sends too much before its hello is cut off.
func TestMischief(t *testing.T) {
	c := newCoordinator(t, "127.0.0.1:0", 1)
	defer c.Close()
	server := serveNull(t, "127.0.0.1:0")
	for _, says := range []string{`{"kind":"quiet"}`, `{"kind":"parts","parts":[null]}`, `{"kind":`, ``} {
		conn, err := net.Dial("tcp", c.Addr())
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(conn, maxLine)
		p.write(greeting(Options{Name: "odd", Threads: 1}))
		go func() {
			defer conn.Close()
			for {
				m, err := p.read()
				switch {
				case err != nil:
					return
				case m.Kind == ping:
					p.write(message{Kind: pong, Serial: m.Serial})
					continue
				case says == "":
					return
				}
				io.WriteString(conn, says+"\n")
			}
		}()
		if err := c.Gather(t.Context(), 20*time.Second); err != nil {
			t.Fatalf("%s: %v", says, err)
		}
		if _, err := c.Run(t.Context(), plain(server)); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "odd") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", says, err)
		}
		for until := time.Now().Add(10 * time.Second); len(c.alive()) > 0 && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
	}
	conn, err := net.Dial("tcp", c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	conn.Write(make([]byte, 2*maxHello))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d octets, %v", n, err)
	}
	startAgent(t, "", c.Addr(), "one", 1)
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	r, err := c.Run(t.Context(), plain(server))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Ledger.Clean() || r.Deliveries.InAll != 9*300 || r.FromDue.Count != 9*200 || r.Elsewhere != nil {
		t.Errorf("an agent alone: %+v, %+v, %+v", r.Ledger, r.Deliveries, r.Elsewhere)
	}
}
