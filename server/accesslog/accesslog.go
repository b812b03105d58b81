// Package accesslog writes one line for each login, each end of a client in the room,
// and each client that is turned away:
//
//	msg=login peer=203.0.113.9:40112 name=alice
//	msg=leave peer=203.0.113.9:40112 name=alice reason=eof stayed=12m3s
//	msg=refused peer=203.0.113.9:40113 name=alice reason=denied detail="wrong name or password"
//	msg="more refused" from=203.0.113.9 count=480
//
// These names do not change; attributes may be added. reason is a core.Reason or, for a client
// that never reached the room, the reason given to Refused. detail is what a denied client was
// told, or what was wrong. A refused client's name is logged only if there is such a user,
// because people sometimes type their password as the name. Clients that leave before they log
// in, without violating a rule, have no line.
//
// Clients can cause refusals at will. So an address has 20 lines for them in a minute, and all
// addresses together 6,000. Refusals beyond that are counted, and the counts are logged when
// the minute is over. An IPv6 address counts as its /64.
//
// The package does not log messages, frames or passwords, and makes nobody wait: Observe, for
// core.Config, queues an event, and a goroutine of the Log writes it. If the log's reader is too
// slow for long, lines are left out and counted. Any goroutine may call the methods of a Log.
package accesslog

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/core"
)

const (
	maxWaiting   = 1 << 16 // events that wait to be written
	perAddress   = 20      // lines for refusals of one address in a minute
	perMinute    = 6000    // lines for refusals of all addresses in a minute
	maxAddresses = 8192    // addresses that are counted separately in a minute
	maxSummary   = 100     // addresses with a line of their own when the minute is over
	minute       = time.Minute
	checkEvery   = time.Second // how often it is checked whether the minute is over
)

// Config configures a Log.
type Config struct {
	Log *slog.Logger
	// Known says whether there is a user with this name, folded.
	Known func(folded string) bool
	// RefusedOnly leaves out the lines for logins and leaves.
	RefusedOnly bool
}

// Log writes the log. Make it with New.
type Log struct {
	cfg     Config
	leftOut atomic.Uint64

	mu      sync.Mutex
	waiting []entry
	wake    chan struct{}
	quit    chan struct{}
	ended   sync.WaitGroup
	once    sync.Once

	refused refused // used only by the writing goroutine
}

// New starts a Log. Close ends it.
func New(cfg Config) *Log {
	l := &Log{cfg: cfg, wake: make(chan struct{}, 1), quit: make(chan struct{}), refused: newRefused(time.Now())}
	l.ended.Go(l.write)
	return l
}

// entry is an event that waits to be written.
type entry struct {
	core.Event
	reason string // given to Refused; "": use that of the event
}

// Observe queues an event to be written. It never blocks.
func (l *Log) Observe(e core.Event) {
	if wanted(e) && !(l.cfg.RefusedOnly && (e.Granted || inRoom(e))) {
		l.add(entry{Event: e})
	}
}

// Refused queues a line for a client that was turned away before it reached the room: reason is
// one word, detail says what was wrong. It never blocks.
func (l *Log) Refused(peer netip.AddrPort, reason, detail string) {
	l.add(entry{core.Event{Peer: peer, Text: detail}, reason})
}

func (l *Log) add(e entry) {
	l.mu.Lock()
	full := len(l.waiting) >= maxWaiting
	if !full {
		l.waiting = append(l.waiting, e)
	}
	l.mu.Unlock()
	if full {
		l.leftOut.Add(1)
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// inRoom says whether an event is the end of a client that was in the room.
func inRoom(e core.Event) bool { return e.Name != "" && e.Reason != core.ReasonDenied }

// wanted says whether an event has a line. A client that leaves before it logs in, without
// violating a rule, has none.
func wanted(e core.Event) bool {
	if e.Granted || inRoom(e) {
		return true
	}
	switch e.Reason {
	case core.ReasonEOF, core.ReasonReset, core.ReasonBye, core.ReasonDrain, core.ReasonCut:
		return false
	}
	return true
}

// LeftOut is how many events have no line because too many were waiting.
func (l *Log) LeftOut() uint64 { return l.leftOut.Load() }

// Close writes what waits and ends the goroutine. It may be called more than once.
func (l *Log) Close() {
	l.once.Do(func() { close(l.quit) })
	l.ended.Wait()
}

// write writes until Close.
func (l *Log) write() {
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	reported := uint64(0)
	for open := true; open; {
		select {
		case <-l.wake:
		case <-check.C:
		case <-l.quit:
			open = false
		}
		l.mu.Lock()
		events := l.waiting
		l.waiting = nil
		l.mu.Unlock()
		for _, e := range events {
			l.line(e, time.Now())
		}
		l.endMinute(time.Now(), !open)
		if n := l.leftOut.Load(); n > reported {
			l.cfg.Log.Warn("log lines left out: the log is read too slowly", "count", n-reported)
			reported = n
		}
	}
}

// line writes the line of an event.
func (l *Log) line(e entry, now time.Time) {
	text, reason := "leave", cmp.Or(e.reason, e.Reason.String())
	attrs := make([]slog.Attr, 0, 4)
	attrs = append(attrs, slog.String("peer", netip.AddrPortFrom(e.Peer.Addr().Unmap(), e.Peer.Port()).String()))
	switch {
	case e.Granted:
		text = "login"
		attrs = append(attrs, slog.String("name", e.Name))
	case inRoom(e.Event):
		attrs = append(attrs, slog.String("name", e.Name), slog.String("reason", reason),
			slog.String("stayed", e.Stayed.Round(time.Second).String()))
	default:
		l.endMinute(now, false)
		if !l.refused.admit(e.Peer.Addr()) {
			return
		}
		text = "refused"
		if e.Folded != "" && l.cfg.Known(e.Folded) {
			attrs = append(attrs, slog.String("name", e.Name))
		}
		attrs = append(attrs, slog.String("reason", reason))
		if e.Text != "" {
			attrs = append(attrs, slog.String("detail", e.Text))
		}
	}
	l.cfg.Log.LogAttrs(context.Background(), slog.LevelInfo, text, attrs...)
}

// endMinute logs the counts of refusals without a line when their minute is over, or now if
// force is set.
func (l *Log) endMinute(now time.Time, force bool) {
	if passed := now.Sub(l.refused.since); !force && passed >= 0 && passed < minute {
		return
	}
	for _, s := range l.refused.summary() {
		l.cfg.Log.Info("more refused", "from", s.from, "count", s.count)
	}
	l.refused = newRefused(now)
}

// refused counts the refusals of a minute.
type refused struct {
	since  time.Time
	all    int // lines written
	counts map[netip.Addr]*tally
	others int // refusals of addresses beyond maxAddresses
}

// tally counts the refusals of an address, and those of them without a line.
type tally struct{ seen, left int }

func newRefused(now time.Time) refused {
	return refused{since: now, counts: make(map[netip.Addr]*tally)}
}

// admit counts a refusal, and says whether it has a line.
func (r *refused) admit(addr netip.Addr) bool {
	from := core.Origin(addr)
	t := r.counts[from]
	if t == nil {
		if len(r.counts) >= maxAddresses {
			r.others++
			return false
		}
		t = new(tally)
		r.counts[from] = t
	}
	t.seen++
	if t.seen > perAddress || r.all >= perMinute {
		t.left++
		return false
	}
	r.all++
	return true
}

// left is how many refusals of an address, or of several, have no line.
type left struct {
	from  string
	count int
}

// summary lists the refusals without a line by address, the most first.
func (r *refused) summary() (list []left) {
	others := left{"others", r.others}
	for _, addr := range slices.SortedFunc(maps.Keys(r.counts), func(a, b netip.Addr) int {
		return cmp.Or(r.counts[b].left-r.counts[a].left, a.Compare(b))
	}) {
		switch n := r.counts[addr].left; {
		case n == 0:
		case len(list) >= maxSummary:
			others.count += n
		default:
			list = append(list, left{addr.String(), n})
		}
	}
	if others.count > 0 {
		list = append(list, others)
	}
	return list
}
