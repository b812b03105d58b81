package fetch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"chatbench/client"
	"chatbench/client/downloads"
	"chatbench/client/share"
	"chatbench/client/transfer"
)

// loginTimeout bounds the way into the room.
const loginTimeout = 10 * time.Second

// pair is two clients: the first shares, the second fetches.
type pair struct {
	clients [2]*client.Client
	peers   [2]*transfer.Peer
	undo    []func()
}

func join(ctx context.Context, server string, f *files) (_ *pair, err error) {
	p := new(pair)
	defer func() {
		if err != nil {
			p.leave()
		}
	}()
	from, err := share.Open(f.shared)
	if err != nil {
		return nil, err
	}
	p.undo = append(p.undo, func() { from.Close() })
	to, err := downloads.Open(f.saved)
	if err != nil {
		return nil, err
	}
	p.undo = append(p.undo, func() { to.Close() })
	run := strings.ToLower(rand.Text()[:6]) // nobody else's names
	for i, o := range []transfer.Options{{Share: from}, {Downloads: to}} {
		p.peers[i] = transfer.New(o)
		p.undo = append(p.undo, p.peers[i].Close)
		if err := p.login(ctx, i, server, []string{"share-", "fetch-"}[i]+run); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pair) login(ctx context.Context, i int, server, name string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	p.clients[i], err = client.Dial(ctx, client.Config{Server: server, User: name, Password: "x", Files: p.peers[i]})
	if err == nil {
		p.undo = append(p.undo, p.clients[i].Close)
	}
	return err
}

func (p *pair) leave() {
	for i := len(p.undo) - 1; i >= 0; i-- {
		p.undo[i]()
	}
}

// fetch fetches the file once, synced and named, and says what that took.
func (p *pair) fetch(ctx context.Context, f *files) (Carried, error) {
	debug.FreeOSMemory()
	forgetPeak()
	before := resident("VmRSS")
	f.clear()
	watch := start()
	saved, err := p.peers[1].Fetch(ctx, p.clients[1], p.clients[0].Name(), fileName, new(transfer.Progress))
	if err != nil {
		return Carried{}, err
	}
	c := watch.stop(f.size)
	c.RSS = max(0, resident("VmHWM")-before)
	f.copied = saved.Path
	switch {
	case !saved.Checked:
		return c, errors.New("fetch: the transfer was not checked")
	case saved.Size != f.size:
		return c, fmt.Errorf("fetch: %d octets were saved, not %d", saved.Size, f.size)
	}
	return c, nil
}

// forgetPeak makes the kernel's peak of this process's memory begin anew.
func forgetPeak() { os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// resident is a line of the kernel's account of this process, in octets.
func resident(line string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for text := range strings.Lines(string(status)) {
		if fields := strings.Fields(text); len(fields) == 3 && fields[0] == line+":" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
