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

// loginTimeout bounds a login.
const loginTimeout = 10 * time.Second

// pair is two clients: the first shares, the second fetches.
type pair struct {
	clients  [2]*client.Client
	peers    [2]*transfer.Peer
	cleanups []func()
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
	p.cleanups = append(p.cleanups, func() { from.Close() })
	to, err := downloads.Open(f.saved)
	if err != nil {
		return nil, err
	}
	p.cleanups = append(p.cleanups, func() { to.Close() })
	run := strings.ToLower(rand.Text()[:6]) // so that the names are unused
	for i, o := range []transfer.Options{{Share: from}, {Downloads: to}} {
		p.peers[i] = transfer.New(o)
		p.cleanups = append(p.cleanups, p.peers[i].Close)
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
		p.cleanups = append(p.cleanups, p.clients[i].Close)
	}
	return err
}

func (p *pair) leave() {
	for i := len(p.cleanups) - 1; i >= 0; i-- {
		p.cleanups[i]()
	}
}

// fetch downloads the file once and measures it, to the sync and the final name.
func (p *pair) fetch(ctx context.Context, f *files) (Transfer, error) {
	debug.FreeOSMemory()
	resetPeak()
	before := resident("VmRSS")
	f.clear()
	watch := start()
	saved, err := p.peers[1].Fetch(ctx, p.clients[1], p.clients[0].Name(), fileName, new(transfer.Progress))
	if err != nil {
		return Transfer{}, err
	}
	c := watch.stop(f.size)
	c.RSS = max(0, resident("VmHWM")-before)
	f.copied = saved.Path
	switch {
	case !saved.Checked:
		return c, errors.New("fetch: the download had no checksum")
	case saved.Size != f.size:
		return c, fmt.Errorf("fetch: %d octets were saved, want %d", saved.Size, f.size)
	}
	return c, nil
}

// resetPeak resets the kernel's VmHWM of this process.
func resetPeak() { os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// resident reads a line of /proc/self/status, in octets.
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
