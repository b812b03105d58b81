package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
	"chatbench/server/history"
)

// Clients of a server are sent the lines that were said before its restart, as far as they
// are kept.
func TestHistoryOutlivesServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	keep := func(o *Options) { o.History, o.HistoryFile = 3, path }
	for i := range 30 { // so many that the file is rewritten
		s := launch(t, keep)
		c := talk(t, connect(t, "127.0.0.1", s.Addr().String(), nil)).enter("alice")
		if i > 0 {
			c.await(wire.Chat, "UTC, alice: line "+string(rune('A'+i-1)))
		}
		c.send(wire.AppendChat(nil, "line "+string(rune('A'+i))))
		c.await(wire.Chat, "alice: line "+string(rune('A'+i)))
		c.conn.Close()
		if err := s.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	f, found, err := history.Open(path, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := len(found.Lines)
	if n > history.Slack*3 || n < 3 || string(found.Lines[n-1].Text) != "alice: line "+string(rune('A'+29)) {
		t.Errorf("%d lines in the file: %q", n, found.Lines)
	}
}

// A torn file is logged once, and does not keep the server from starting.
func TestTornHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	f, _, err := history.Open(path, 3)
	if err == nil {
		err = f.Append([]core.Line{{At: time.Now(), Text: []byte("bob: one")}, {At: time.Now(), Text: []byte("bob: two")}})
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-1)
	}
	if err != nil {
		t.Fatal(err)
	}
	log := new(logged)
	o := options(log)
	o.History, o.HistoryFile = 3, path
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background())
	c := talk(t, connect(t, "127.0.0.1", s.Addr().String(), nil)).enter("alice")
	c.await(wire.Chat, "bob: one")
	c.conn.Close()
	if n := strings.Count(log.text.String(), "history file was damaged"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// A full disk is logged once a minute. When there is space again, the lines that the room still
// has are written.
func TestHistoryOnFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	file, _, err := history.Open(path, 5)
	if err != nil {
		t.Fatal(err)
	}
	log := new(logged)
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now(), History: 5})
	s := room.Join(peer, noWaker{}, nil)
	s.Feed(wire.AppendCred(nil, "alice", "x"))
	disk := &brokenDisk{file, true}
	w := &historyWriter{room: room, file: disk, log: options(log).Log}
	now := time.Now()
	for i := range 121 {
		s.Feed(wire.AppendChat(nil, "hello"))
		w.write(now.Add(time.Duration(i) * time.Second))
	}
	if n := strings.Count(log.text.String(), "cannot be written"); n != 3 {
		t.Errorf("said %d times in two minutes", n)
	}
	disk.broken = false
	w.write(now)
	w.write(now)
	file.Close()
	f, found, err := history.Open(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(found.Lines) != 5 {
		t.Errorf("%d lines in the file: %q", len(found.Lines), found.Lines)
	}
}

// If the file was replaced with an error, its lines are not written again.
func TestHistoryRewrittenWithError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	file, _, err := history.Open(path, 5)
	if err != nil {
		t.Fatal(err)
	}
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now(), History: 5})
	s := room.Join(peer, noWaker{}, nil)
	s.Feed(wire.AppendCred(nil, "alice", "x"))
	say := func(text string) { s.Feed(wire.AppendChat(nil, text)) }
	w := &historyWriter{room: room, file: &lateDisk{file, func() { say("two") }}, log: options(new(logged)).Log}
	say("one")
	w.write(time.Now())
	say("three")
	w.write(time.Now())
	file.Close()
	f, found, err := history.Open(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var texts []string
	for _, line := range found.Lines {
		texts = append(texts, string(line.Text))
	}
	if got, want := strings.Join(texts, ", "), "alice: one, alice: two, alice: three"; got != want {
		t.Errorf("the file has %q, want %q", got, want)
	}
}

// lateDisk asks for one Rewrite. During that a line is said, and it returns an error though the
// file is replaced.
type lateDisk struct {
	historyFile
	meanwhile func()
}

func (d *lateDisk) Long() bool {
	if d.meanwhile == nil {
		return false
	}
	d.meanwhile()
	return true
}

func (d *lateDisk) Rewrite(lines []core.Line) (bool, error) {
	d.meanwhile = nil
	replaced, _ := d.historyFile.Rewrite(lines)
	return replaced, errDisk
}

// noWaker is a transport that does nothing.
type noWaker struct{}

func (noWaker) WakeRoom()          {}
func (noWaker) Wake(*core.Session) {}

// brokenDisk returns errors while it is broken.
type brokenDisk struct {
	historyFile
	broken bool
}

var errDisk = errors.New("no space left on device")

func (d *brokenDisk) Append(lines []core.Line) error {
	if d.broken {
		return errDisk
	}
	return d.historyFile.Append(lines)
}
