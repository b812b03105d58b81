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
	// do injects the fault and heals it. note is a remark to be printed.
	do func(cl *cluster, f fault) (note string, err error)
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

// fault is a fault of a plan.
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

// plan is an endless sequence of faults, which the seed decides: all kinds in a random order, then
// all in another order, and so on.
type plan struct {
	random *rand.Rand
	left   []kind // kinds of this round that are left
}

func newPlan(seed uint64) *plan { return &plan{random: rand.New(rand.NewPCG(seed, 0))} }

func (p *plan) next() fault {
	if len(p.left) == 0 {
		p.left = slices.Clone(kinds)
		p.random.Shuffle(len(p.left), func(i, j int) { p.left[i], p.left[j] = p.left[j], p.left[i] })
	}
	f := fault{kind: p.left[0], node: p.random.IntN(nodes)}
	p.left = p.left[1:]
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(p.random.Int64N(int64(most-least)+1))).Round(10 * time.Millisecond)
	}
	f.lasts = between(f.kind.least, f.kind.most)
	f.delay, f.rate = between(50*time.Millisecond, 500*time.Millisecond), (32+p.random.IntN(225))<<10
	return f
}

func killChatd(cl *cluster, f fault) (string, error) {
	p := cl.chatd[f.node]
	p.run.Load().kill()
	cl.pause(f.lasts)
	return "", cl.startChatd(p)
}

func killNATS(cl *cluster, f fault) (string, error) {
	p := cl.nats[f.node]
	p.run.Load().kill()
	cl.pause(f.lasts)
	return "", p.start()
}

func killLeader(cl *cluster, f fault) (string, error) {
	node, known := cl.leader(f.node)
	p := cl.nats[node]
	began := time.Now()
	p.run.Load().kill()
	all := cl.waitForProgress(began)
	if !known {
		return p.name + " died; which server led the stream is not known", p.start()
	}
	at := cl.electionEnd(node, began, began.Add(all))
	if at.IsZero() && !*full { // NATS servers that were stopped for a while elect another one
		return p.name + " died, which did not lead the stream any more", p.start()
	}
	if at.IsZero() {
		return "", fmt.Errorf("%s died, which led the stream, and no log says that another server leads it now", p.name)
	}
	elected, later := at.Sub(began), began.Add(all).Sub(at)
	cl.elections = max(cl.elections, elected)
	cl.afterElection = max(cl.afterElection, later)
	return fmt.Sprintf("%s died, NATS had another leader after %v, and the room went on %v later",
		p.name, elected.Round(time.Millisecond), later.Round(time.Millisecond)), p.start()
}

// electionEnd is the time of the last election of a metadata or stream leader between two times, by the
// logs of all NATS servers but one; zero if none of them has become leader of the stream.
func (cl *cluster) electionEnd(but int, from, to time.Time) (last time.Time) {
	leads := false
	for i, p := range cl.nats {
		if i == but {
			continue
		}
		text, err := os.ReadFile(p.log)
		if err != nil {
			continue
		}
		at, stream := electionEndIn(string(text), from, to)
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

// electionEndIn is the same for one log. stream says whether the server became leader of the stream. A line is
// "[5] 2026/01/02 15:04:05.000000 [INF] JetStream cluster new ...".
func electionEndIn(log string, from, to time.Time) (last time.Time, stream bool) {
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

// The time of an election is found in the log of a NATS server.
func TestElectionEndIn(t *testing.T) {
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
		if got, stream := electionEndIn(log, at(c.from), at(c.to)); !got.Equal(want) || stream != c.stream {
			t.Errorf("from %d to %d: %v, %v, want %v, %v", c.from, c.to, got, stream, want, c.stream)
		}
	}
}

func pauseChatd(cl *cluster, f fault) (string, error) { return cl.pauseProcess(cl.chatd[f.node], f) }
func pauseNATS(cl *cluster, f fault) (string, error)  { return cl.pauseProcess(cl.nats[f.node], f) }

func (cl *cluster) pauseProcess(p *process, f fault) (string, error) {
	b := p.run.Load()
	if err := b.pause(); err != nil {
		return "", err
	}
	cl.pause(f.lasts)
	return "", b.resume()
}

func cutNATS(cl *cluster, f fault) (string, error) { return cl.cut(cl.nats[f.node], f, func() {}) }

func cutChatd(cl *cluster, f fault) (string, error) {
	if f.lasts >= deadCut {
		cl.longCut.Store(true)
	}
	all, _ := cl.in()
	all = slices.DeleteFunc(all, func(v *session) bool { return v.node != f.node })
	note, err := cl.cut(cl.chatd[f.node], f, func() { cl.checkTold(all, true) })
	if err == nil {
		cl.await(func() bool { return cl.notTold(all, false) == nil })
		cl.checkTold(all, false)
	}
	return note, err
}

// notTold lists the sessions in the room that were not told that their chatd is cut off, or that it
// is so no longer.
func (cl *cluster) notTold(all []*session, cut bool) (list []*session) {
	for _, v := range all {
		if v.isIn() && !v.wasTold(cut) {
			list = append(list, v)
		}
	}
	return list
}

func (cl *cluster) checkTold(all []*session, cut bool) {
	for _, v := range cl.notTold(all, cut) {
		if cl.ctx.Err() == nil {
			cl.violate("%s on chatd%d was not told that cut off is %v", v.name, v.node, cut)
		}
	}
}

// cut cuts the network of a node for a while; its connections stay open. It calls last before it
// restores the network.
func (cl *cluster) cut(p *process, f fault, last func()) (string, error) {
	if err := ip("link set v%s down", p.name); err != nil {
		return "", err
	}
	cl.pause(f.lasts)
	last()
	return "", ip("link set v%s up", p.name)
}

func slowLink(cl *cluster, f fault) (string, error) {
	for _, l := range cl.links[f.node] {
		l.set(f.delay, f.rate)
	}
	cl.pause(f.lasts)
	for _, l := range cl.links[f.node] {
		l.set(0, 0)
	}
	return "", nil
}

// The same seed gives the same plan, and another seed another plan.
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
			t.Errorf("%s is in the plan %d times, want 5", k.name, seen[k.name])
		}
	}
}
