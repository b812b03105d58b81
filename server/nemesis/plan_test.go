package nemesis

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// kind is a kind of fault.
type kind struct {
	name, does  string        // for the documentation
	least, most time.Duration // how long it lasts
	bridged     bool          // it needs network namespaces
	// do does it to a node, and undoes it. note is what there is to say of it.
	do func(w *world, f fault) (note string, err error)
}

var kinds = []kind{
	{"kill-chatd", "kill -9 of a chatd, which is started again", 100 * time.Millisecond, 2 * time.Second, false, killChatd},
	{"kill-nats", "kill -9 of a NATS server, which is started again with its store", 500 * time.Millisecond, 4 * time.Second, false, killNATS},
	{"kill-leader", "kill -9 of the NATS server that leads the stream, which is started again when the room goes on", 0, 0, false, killLeader},
	{"pause-chatd", "SIGSTOP of a chatd, then SIGCONT", time.Second, 6 * time.Second, false, pauseChatd},
	{"pause-nats", "SIGSTOP of a NATS server, then SIGCONT", time.Second, 6 * time.Second, false, pauseNATS},
	{"cut-nats", "the network of a NATS server is cut: from the others and from all chatd", 2 * time.Second, 6 * time.Second, true, cutNATS},
	{"cut-chatd", "the network of a chatd to NATS is cut; its clients stay", 10 * time.Second, 20 * time.Second, true, cutChatd},
	{"slow-link", "the links of a chatd to NATS take 50 to 500 ms each way, and 32 to 256 KiB/s", 2 * time.Second, 5 * time.Second, false, slowLink},
}

// fault is one of a plan.
type fault struct {
	kind  kind
	node  int
	lasts time.Duration
	delay time.Duration // of a slow link
	rate  int           // of a slow link, octets a second
}

func (f fault) String() string {
	text := fmt.Sprintf("%s %d", f.kind.name, f.node)
	if f.lasts > 0 {
		text += " for " + f.lasts.String()
	}
	if f.kind.name == "slow-link" {
		text += fmt.Sprintf(" by %v, %d KiB/s", f.delay, f.rate>>10)
	}
	return text
}

// plan is faults without end. The seed alone decides which: all kinds in some order, and again
// in another.
type plan struct {
	random *rand.Rand
	deck   []kind
}

func newPlan(seed uint64) *plan { return &plan{random: rand.New(rand.NewPCG(seed, 0))} }

func (p *plan) next() fault {
	if len(p.deck) == 0 {
		p.deck = slices.Clone(kinds)
		p.random.Shuffle(len(p.deck), func(i, j int) { p.deck[i], p.deck[j] = p.deck[j], p.deck[i] })
	}
	f := fault{kind: p.deck[0], node: p.random.IntN(nodes)}
	p.deck = p.deck[1:]
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(p.random.Int64N(int64(most-least)+1))).Round(10 * time.Millisecond)
	}
	f.lasts = between(f.kind.least, f.kind.most)
	f.delay, f.rate = between(50*time.Millisecond, 500*time.Millisecond), (32+p.random.IntN(225))<<10
	return f
}

func killChatd(w *world, f fault) (string, error) {
	p := w.chatd[f.node]
	p.boot.Load().kill()
	w.pause(f.lasts)
	return "", w.startChatd(p)
}

func killNATS(w *world, f fault) (string, error) {
	p := w.nats[f.node]
	p.boot.Load().kill()
	w.pause(f.lasts)
	return "", p.start()
}

func killLeader(w *world, f fault) (string, error) {
	node, sure := w.leader(f.node)
	p := w.nats[node]
	began := time.Now()
	p.boot.Load().kill()
	all := w.goesOn(began)
	if !sure {
		return p.name + " died, and it could not be found out which one led the stream", p.start()
	}
	at := w.agreed(node, began, began.Add(all))
	if at.IsZero() {
		return "", fmt.Errorf("%s died, which led the stream, and no other says in its log that it leads it now", p.name)
	}
	elected, later := at.Sub(began), began.Add(all).Sub(at)
	w.elections = max(w.elections, elected)
	w.afterElection = max(w.afterElection, later)
	return fmt.Sprintf("%s died, NATS had another leader after %v, and the room went on %v later",
		p.name, elected.Round(time.Millisecond), later.Round(time.Millisecond)), p.start()
}

// agreed is when, in a time, NATS servers other than one last agreed on who leads all of them or the
// stream, by their logs; zero if none of them has become the stream's leader.
func (w *world) agreed(but int, from, to time.Time) (last time.Time) {
	leads := false
	for i, p := range w.nats {
		if i == but {
			continue
		}
		text, err := os.ReadFile(p.log)
		if err != nil {
			continue
		}
		at, stream := agreedIn(string(text), from, to)
		leads = leads || stream
		if at.After(last) {
			last = at
		}
	}
	if !leads {
		return time.Time{}
	}
	return last
}

// agreedIn is the same by one log, and whether the server became the stream's leader. A line is
// "[5] 2026/01/02 15:04:05.000000 [INF] JetStream cluster new ...".
func agreedIn(log string, from, to time.Time) (last time.Time, stream bool) {
	for text := range strings.Lines(log) {
		is := strings.Contains(text, "new stream leader for '$G > CHAT_"+room+"'")
		if !is && !strings.Contains(text, "new metadata leader: ") {
			continue
		}
		_, text, _ = strings.Cut(text, "] ")
		clock, _, _ := strings.Cut(text, " [")
		at, err := time.ParseInLocation("2006/01/02 15:04:05.000000", clock, time.Local)
		if err != nil || at.Before(from) || at.After(to) {
			continue
		}
		stream = stream || is
		if at.After(last) {
			last = at
		}
	}
	return last, stream
}

// The logs of NATS servers say when they agreed.
func TestAgreedIn(t *testing.T) {
	const log = `[5] 2026/01/02 15:00:01.500000 [INF] JetStream cluster new stream leader for '$G > CHAT_nemesis'
[5] 2026/01/02 15:00:02.000000 [INF] JetStream cluster no metadata leader
[5] 2026/01/02 15:00:03.250000 [INF] JetStream cluster new metadata leader: nats1/chat
[5] 2026/01/02 15:00:04.000000 [INF] JetStream cluster new stream leader for '$G > KV_CHAT_nemesis'
[5] 2026/01/02 15:00:05.000000 [INF] JetStream cluster new stream leader for '$G > CHAT_nemesis'
a line of something else
`
	at := func(ms int) time.Time {
		return time.Date(2026, 1, 2, 15, 0, 0, 0, time.Local).Add(time.Duration(ms) * time.Millisecond)
	}
	for _, c := range []struct {
		from, to, want int
		stream         bool
	}{
		{0, 9000, 5000, true}, {0, 4500, 3250, true}, {0, 2000, 1500, true}, {2000, 4500, 3250, false}, {6000, 9000, -1, false},
	} {
		want := time.Time{}
		if c.want >= 0 {
			want = at(c.want)
		}
		if got, stream := agreedIn(log, at(c.from), at(c.to)); !got.Equal(want) || stream != c.stream {
			t.Errorf("from %d to %d: %v, %v, want %v, %v", c.from, c.to, got, stream, want, c.stream)
		}
	}
}

func pauseChatd(w *world, f fault) (string, error) { return w.pauseProcess(w.chatd[f.node], f) }
func pauseNATS(w *world, f fault) (string, error)  { return w.pauseProcess(w.nats[f.node], f) }

func (w *world) pauseProcess(p *process, f fault) (string, error) {
	b := p.boot.Load()
	if err := b.pause(); err != nil {
		return "", err
	}
	w.pause(f.lasts)
	return "", b.goOn()
}

func cutNATS(w *world, f fault) (string, error) { return w.cut(w.nats[f.node], f, func() {}) }

func cutChatd(w *world, f fault) (string, error) {
	if f.lasts >= deadCut {
		w.longCut.Store(true)
	}
	all, _ := w.in()
	all = slices.DeleteFunc(all, func(v *visit) bool { return v.node != f.node })
	note, err := w.cut(w.chatd[f.node], f, func() { w.haveToKnow(all, true) })
	if err == nil {
		w.await(func() bool { return w.ignorant(all, false) == nil })
		w.haveToKnow(all, false)
	}
	return note, err
}

// ignorant is those, of some who are in the room, who do not know that their chatd is cut off, or
// that this is over.
func (w *world) ignorant(all []*visit, cut bool) (list []*visit) {
	for _, v := range all {
		if v.isIn() && !v.knows(cut) {
			list = append(list, v)
		}
	}
	return list
}

func (w *world) haveToKnow(all []*visit, cut bool) {
	for _, v := range w.ignorant(all, cut) {
		if w.living.Err() == nil {
			w.violate("%s was not told that chatd%d is cut off, or that it is so no more: cut off: %v", v.name, v.node, cut)
		}
	}
}

// cut has nothing go to a node or come from it for a while, and nobody is told. At the end of
// the while it calls last.
func (w *world) cut(p *process, f fault, last func()) (string, error) {
	if err := ip("link set v%s down", p.name); err != nil {
		return "", err
	}
	w.pause(f.lasts)
	last()
	return "", ip("link set v%s up", p.name)
}

func slowLink(w *world, f fault) (string, error) {
	for _, l := range w.links[f.node] {
		l.set(f.delay, f.rate)
	}
	w.pause(f.lasts)
	for _, l := range w.links[f.node] {
		l.set(0, 0)
	}
	return "", nil
}

// A seed is a plan, whatever is left out, and another seed another one.
func TestPlan(t *testing.T) {
	list := func(seed uint64) (all []string) {
		p := newPlan(seed)
		for range 100 {
			f := p.next()
			if f.lasts < f.kind.least || f.lasts > f.kind.most || f.node < 0 || f.node >= nodes {
				t.Errorf("seed %d: %v", seed, f)
			}
			all = append(all, f.String())
		}
		return all
	}
	if !slices.Equal(list(7), list(7)) {
		t.Error("one seed gives two plans")
	}
	if slices.Equal(list(7), list(8)) {
		t.Error("two seeds give one plan")
	}
	seen := map[string]int{}
	for p, n := newPlan(1), 0; n < 5*len(kinds); n++ {
		seen[p.next().kind.name]++
	}
	for _, k := range kinds {
		if seen[k.name] != 5 {
			t.Errorf("%s is there %d times, want 5", k.name, seen[k.name])
		}
	}
}
