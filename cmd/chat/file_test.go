package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/client"
	"chatbench/cmd/internal/ptytest"
	"chatbench/core/wire"
	"chatbench/internal/tcptest"
	"chatbench/server"
)

// halfway is a sharer that sends the first half of a file, and then an octet from time to time, so that
// nobody takes it for one that is gone.
type halfway struct {
	c  *client.Client
	at netip.AddrPort
}

const half = 5_000_000 // of twice as much

func (h *halfway) Notice(*client.Client, string) {}

func (h *halfway) FileFrame(c *client.Client, f wire.Frame) {
	name, file := wire.SplitName(f.Body)
	switch f.Command {
	case wire.LsReq:
		c.List(string(name), []string{"film one.mkv", "notes\x1b]52;c;x\a\n  forged"})
	case wire.DnReq:
		ack := wire.Ack{Name: name, File: file[1:], Addr: c.LocalAddr(),
			Port: h.at.Port(), Token: []byte("0123456789abcdef0123456789abcdef")}
		c.Ack(ack)
	}
}

func shareHalf(t *testing.T, s *server.Server, name string) *halfway {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() { l.Close(); work.Wait() })
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				data := binary.BigEndian.AppendUint64(make([]byte, 8, 16+half), 2*half)
				_, err := conn.Write(append(data, make([]byte, half)...))
				for err == nil {
					time.Sleep(50 * time.Millisecond)
					_, err = conn.Write([]byte{0})
				}
			})
		}
	})
	return shareAt(t, s, name, l.Addr().(*net.TCPAddr).AddrPort())
}

// shareAt logs a sharer in that names an address.
func shareAt(t *testing.T, s *server.Server, name string, at netip.AddrPort) *halfway {
	t.Helper()
	h := &halfway{at: at}
	var err error
	h.c, err = client.Dial(t.Context(), client.Config{Server: s.Addr().String(), User: name, Password: "x", Files: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.c.Close)
	return h
}

// The progress of a download is shown above the line being typed, and messages above
// both. Tab completes names. A cancelled download can be resumed.
func TestFilesOnATerminal(t *testing.T) {
	s, _ := serve(t, "127.0.0.1:0")
	bob, dir := shareHalf(t, s, "bob"), t.TempDir()
	p := ptytest.Start(t, environment("NO_COLOR=1"), "chat", "-server", s.Addr().String(), "-user", "alice", "-downloads", dir)
	p.Await("alice> ")
	if err := bob.c.Say("hello"); err != nil {
		t.Fatal(err)
	}
	p.Await("bob: hello")
	p.Type("/fi\tl\tbo\t\r")
	p.Await("bob shares 2 files:\r\n  film one.mkv\r\n")
	p.Await("  notes\ufffd]52;c;x\ufffd\u2424  forged\r\n")
	p.Type("/file dn bob f\t\r")
	row := fmt.Sprintf("↓  50 %% of %d MB  ", 2*half/1_000_000)
	p.Await(row)
	p.Await("film one.mkv\r\nalice> ")
	p.Type("초안")
	if err := bob.c.Say("사이에"); err != nil {
		t.Fatal(err)
	}
	p.Await("\x1b[1A\x1b[J") // the progress is cleared
	p.Await("bob: 사이에\r\n" + row)
	p.Await("film one.mkv\r\nalice> \x1b[0K초안")
	p.Type("\x15/file cancel\r")
	p.Await("cancelled film one.mkv from bob; the next /file dn continues after the first 5.0 MB")
	p.AwaitLast("alice>")
	for _, row := range p.Rows() {
		if strings.HasPrefix(row, "alice") && row != "alice>" {
			t.Errorf("the prompt shares a row with something else: %q", row)
		}
	}
	p.Type("/file cancel\r")
	p.Await("no such download is under way")
	p.Type("/fiel ls bob\r")
	p.Await("there is no /fiel ls; the nearest is /file ls USER")
	p.Type("\x04")
	if code := p.Exit(); code != 0 || !p.Echoes() {
		t.Errorf("exit code %d", code)
	}
	if names := saved(t, dir); len(names) != 1 || !strings.HasSuffix(names[0], ".part") {
		t.Errorf("left %q", names)
	}
}

// The error names a sharer that cannot be reached, with address and port.
func TestUnreachableSharer(t *testing.T) {
	s, _ := serve(t, "127.0.0.1:0")
	bob := shareAt(t, s, "bob", tcptest.Free(t))
	p := pipe(t, "-server", s.Addr().String(), "-user", "alice", "-downloads", t.TempDir())
	p.say("/file dn bob film\n")
	p.wantErr("film from bob: cannot reach bob at " + bob.at.String() + ": ")
	if code := p.exit(); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

func saved(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
