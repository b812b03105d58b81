package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/client"
	"chatbench/client/downloads"
	"chatbench/client/share"
	"chatbench/client/transfer"
	"chatbench/internal/spawntest"
	"chatbench/server/control"
	"chatbench/server/history"
)

// descriptors: the server has no free descriptors while clients connect, and then has some again.
func descriptors(x *run) {
	s := x.serve("-open")
	x.doing("prlimit to what is open, %d connections at a time knock for %v, beside %d clients who talk", x.size.attempts, x.size.faultTime, x.size.talkers)
	f := x.fleet(s, x.size.talkers, 20, 64)
	idle := s.cpu(func() { f.during(func() { x.pause(x.size.faultTime / 2) }) })
	var back time.Duration
	var busy float64
	f.during(func() {
		before := s.limit(uint64(s.descriptors()))
		connecting, over := context.WithCancel(testContext)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.connectRepeatedly(connecting, x.size.attempts)
		}()
		busy = s.cpu(func() { x.pause(x.size.faultTime) })
		over()
		<-ended
		s.limit(before)
		begun := time.Now()
		for end := begun.Add(timeout); ; {
			c, err := s.enter("afterwards", nil)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(end) {
				x.Fatalf("no login after the descriptors have come back: %v", err)
			}
			x.pause(5 * time.Millisecond)
		}
		back = time.Since(begun)
	})
	f.clean()
	if idle < 0.5 { // not for spin, which always uses a whole processor
		x.below("CPU meanwhile", 100*busy, 20, " %")
	}
	x.within("login granted after", back, time.Second)
	s.waitForClients(x.size.talkers)
}

// limit sets the limit on the server's descriptors, and returns the one before.
func (s *server) limit(n uint64) (before uint64) {
	s.x.Helper()
	var old unix.Rlimit
	err := unix.Prlimit(s.pid, unix.RLIMIT_NOFILE, nil, &old)
	if err == nil {
		err = unix.Prlimit(s.pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: old.Max}, nil)
	}
	if err != nil {
		s.x.Fatalf("prlimit: %v", err)
	}
	return old.Cur
}

// connectRepeatedly makes n connections at a time, and closes them a little later, until ctx ends.
func (s *server) connectRepeatedly(ctx context.Context, n int) {
	for ctx.Err() == nil {
		var all []net.Conn
		for range n {
			if c, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
				all = append(all, c)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
		for _, c := range all {
			c.Close()
		}
	}
}

const (
	diskSize   = 256 << 10 // octets
	fileSize   = 64 << 10  // of what is downloaded
	keptLines  = 50
	filler     = "filler"
	shared     = "film"
	historyLog = `"msg":"what was said cannot be written to the history file`
)

// disk: the file system is full.
func disk(x *run) {
	x.doing("a tmpfs of %d KiB, full, with history, bans and a download on it", diskSize>>10)
	p := x.newNamespaces(unix.CLONE_NEWNS, "mount namespaces")
	d := &fullDisk{x: x, place: p, path: x.TempDir()}
	if err := p.Do(func() error { return unix.Mount("chaos", d.path, "tmpfs", 0, fmt.Sprint("size=", diskSize)) }); err != nil {
		x.skip("cannot mount a tmpfs: " + err.Error())
	}
	s := x.serveAt(p, "-open", "-history", fmt.Sprint(keptLines), "-history-file", d.path+"/history", "-bans", d.path+"/bans")
	c := x.joinClients(s.addr, 3, true, nil)
	fetching := d.downloader(s.addr)

	if a := s.ask(control.Request{Command: "ban", Target: "mallory"}); a.Error != "" {
		x.Fatal(a.Error)
	}
	c.say(0, "before")
	x.wait(timeout, func() bool { return strings.Contains(d.read("history"), "before") }, "the history is written")
	bans := d.read("bans")

	d.fill()
	line := strings.Repeat("x", 500)
	for range keptLines {
		c.say(1, line)
	}
	c.waitForMessages(1 + keptLines)
	x.wait(timeout, func() bool { return s.log.count(historyLog) > 0 }, "the log tells of the full disk")
	c.say(2, "meanwhile")
	c.waitForMessages(2 + keptLines)
	if a := s.ask(control.Request{Command: "ban", Target: "trudy"}); a.Error == "" {
		x.Error("a ban that cannot be saved is not an error")
	}
	if _, err := fetching(); !errors.Is(err, downloads.ErrFull) {
		x.Errorf("a download to a full disk: %v", err)
	}
	x.pause(1500 * time.Millisecond) // the history is written once a second
	x.exactly("lines in the log", s.log.count(historyLog), 1)
	x.exactly("bans file changed", count(d.read("bans") != bans), 0)
	x.exactly("other files left", int64(len(d.others())), 0)

	d.free()
	x.wait(timeout, func() bool { return strings.Contains(d.read("history"), "meanwhile") }, "the history goes on")
	if a := s.ask(control.Request{Command: "ban", Target: "eve"}); a.Error != "" || !strings.Contains(d.read("bans"), "trudy") {
		x.Errorf("a ban when there is room again: %q, in the file: %s", a.Error, d.read("bans"))
	}
	if saved, err := fetching(); err != nil || !saved.Checked {
		x.Errorf("a download when there is room again: %v", err)
	}
	x.exactly("disconnected", c.lost.Load(), 0)
	x.exactly("not heard by all", c.most()-c.fewest(), 0)
	c.leave()
	s.stop()
	d.checkHistory()
}

func count(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// fullDisk is a small file system that only processes of its place can see.
type fullDisk struct {
	x     *run
	place *spawntest.Thread
	path  string
}

func (d *fullDisk) do(job func() error) {
	d.x.Helper()
	if err := d.place.Do(job); err != nil {
		d.x.Fatal(err)
	}
}

func (d *fullDisk) read(name string) (text string) {
	d.x.Helper()
	d.do(func() error {
		b, err := os.ReadFile(filepath.Join(d.path, name))
		text = string(b)
		return err
	})
	return text
}

// fill writes until the disk is full.
func (d *fullDisk) fill() {
	d.x.Helper()
	d.do(func() error {
		f, err := os.Create(filepath.Join(d.path, filler))
		if err != nil {
			return err
		}
		defer f.Close()
		for n := 0; n <= diskSize; n += 512 {
			if _, err := f.Write(make([]byte, 512)); errors.Is(err, unix.ENOSPC) {
				return nil
			} else if err != nil {
				return err
			}
		}
		return errors.New("the disk does not get full")
	})
}

func (d *fullDisk) free() {
	d.x.Helper()
	d.do(func() error { return os.Remove(filepath.Join(d.path, filler)) })
}

// others is the files that should not be there.
func (d *fullDisk) others() (names []string) {
	d.x.Helper()
	d.do(func() error {
		entries, err := os.ReadDir(d.path)
		for _, e := range entries {
			switch e.Name() {
			case "history", "bans", filler:
			default:
				names = append(names, e.Name())
			}
		}
		return err
	})
	return names
}

// checkHistory checks that no line of the history file is damaged.
func (d *fullDisk) checkHistory() {
	d.x.Helper()
	var found history.Found
	d.do(func() error {
		f, all, err := history.Open(filepath.Join(d.path, "history"), keptLines)
		if err == nil {
			found, err = all, f.Close()
		}
		return err
	})
	d.x.exactly("history lines damaged", int64(found.Damaged)+found.Torn, 0)
	if n := len(found.Lines); n < keptLines || !bytes.HasSuffix(found.Lines[n-1].Text, []byte("meanwhile")) {
		d.x.Errorf("the history has %d lines, want the last %d", n, keptLines)
	}
}

// downloader logs in a client that shares a file and one that saves it on the disk. It returns
// a function that fetches the file.
func (d *fullDisk) downloader(addr string) (fetch func() (transfer.Saved, error)) {
	x := d.x
	x.Helper()
	source := x.TempDir()
	if err := os.WriteFile(filepath.Join(source, shared), make([]byte, fileSize), 0o600); err != nil {
		x.Fatal(err)
	}
	from, err := share.Open(source)
	if err != nil {
		x.Fatal(err)
	}
	var to *downloads.Dir
	d.do(func() (err error) { to, err = downloads.Open(d.path); return err })
	x.Cleanup(func() { from.Close(); to.Close() })
	x.peer(addr, "sharer", transfer.Options{Share: from})
	p, c := x.peer(addr, "fetcher", transfer.Options{Downloads: to})
	return func() (transfer.Saved, error) {
		return p.Fetch(testContext, c, "sharer", shared, new(transfer.Progress))
	}
}

// peer logs in a client that shares or fetches files.
func (x *run) peer(addr, name string, o transfer.Options) (*transfer.Peer, *client.Client) {
	x.Helper()
	p := transfer.New(o)
	x.Cleanup(p.Close)
	ctx, cancel := context.WithTimeout(testContext, timeout)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Server: addr, User: name, Password: password, Files: p})
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(c.Close)
	go func() {
		for range c.Events() {
		}
	}()
	return p, c
}
