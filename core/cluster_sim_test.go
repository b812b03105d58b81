package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// TestClusterSimulation runs random conversations in a room on three servers that a
// stream connects. Servers are cut off and reconnect. Messages to the stream are lost and
// published again, arrive late, twice or after newer ones, and are delivered late or again.
// Answers about names and File frames come in any order. Nevertheless all clients must
// receive the same lines in the same order, all of them and none twice.
func TestClusterSimulation(t *testing.T) {
	for i := range uint64(*simSeeds) {
		if err := simulateCluster(*simSeed + i); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./core -run TestClusterSimulation -sim.seeds 1 -sim.seed %d", *simSeed+i, err, *simSeed+i)
		}
	}
}

// clusterSimulation is the servers, the stream between them, and the clients.
type clusterSimulation struct {
	*rand.Rand
	nodes   []*simNode
	stream  []Delivery        // in its order; some messages are in it twice
	said    []string          // the frames of clients in it, without what is there twice
	numbers map[string]uint64 // the last number in it of each server
	names   map[string]bool   // that are claimed
	clients []*clusterClient
	now     time.Time
	padding string // behind each text, so that now and then more is said than the stream takes
	wrong   error
}

// simNode is one server.
type simNode struct {
	*clusterSimulation
	id       string
	room     *Room
	cut      bool
	publish  bool       // told that there is a message to be published
	number   uint64     // of the message that was published and not delivered yet
	onWay    []Delivery // to the stream
	next     int        // index in stream of what is delivered next
	heard    int        // frames of said that were delivered
	claims   []*Login   // to be answered
	forwards []*Forward // to be answered
}

// clusterClient is one client.
type clusterClient struct {
	id       int
	node     *simNode
	session  *Session
	in       bool     // was let in
	from     int      // index in said of what it hears first
	lines    []string // the frames that it fed, as they are heard
	files    int      // File frames that it fed
	got      []byte
	gone     bool
	received map[string]int // the last File frame of each sender
}

func (n *simNode) Wake()               { n.publish = true }
func (n *simNode) Claim(l *Login)      { n.claims = append(n.claims, l) }
func (n *simNode) Release(name string) { delete(n.names, name) }
func (n *simNode) Forward(f *Forward)  { n.forwards = append(n.forwards, f) }

func (n *simNode) RemoteNames(int) (names []string, count int) { return nil, 0 }

// behind says whether the stream has a message that was not delivered to this server.
func (n *simNode) behind() bool { return n.next < len(n.stream) }

// simWaker is the transport of every client.
type simWaker struct{}

func (simWaker) WakeRoom()       {}
func (simWaker) Wake(s *Session) {}

func simulateCluster(seed uint64) error {
	sim := &clusterSimulation{Rand: rand.New(rand.NewPCG(seed, 2)), now: start, numbers: map[string]uint64{}, names: map[string]bool{}}
	chunk := 256 + sim.IntN(2048)
	sim.padding = strings.Repeat("~", sim.IntN(2)*150)
	for i := range 3 {
		n := &simNode{clusterSimulation: sim, id: fmt.Sprint("node", i)}
		n.room = testRoom(chunk, Config{Cluster: n, Node: n.id, LagLimit: []int{400, 1 << 20}[sim.IntN(2)], History: sim.IntN(2) * 5, Announce: sim.IntN(2) == 0})
		sim.nodes = append(sim.nodes, n)
	}
	for range 100 + sim.IntN(1500) {
		sim.step()
		if err := sim.check(); err != nil {
			return err
		}
	}
	return sim.finish()
}

// step does one random thing.
func (sim *clusterSimulation) step() {
	n := sim.nodes[sim.IntN(len(sim.nodes))]
	switch k := sim.IntN(100); {
	case k < 6:
		sim.join(n)
	case k < 40:
		sim.feed()
	case k < 55:
		sim.write()
	case k < 65:
		n.send()
	case k < 75:
		n.arrive()
	case k < 85:
		n.deliver()
	case k < 89:
		n.answerClaim()
	case k < 93:
		n.answerForward()
	case k < 95:
		sim.tick(time.Duration(sim.IntN(1500)) * time.Millisecond)
	case k < 97:
		n.cut = !n.cut
	case k < 98:
		sim.leave()
	default:
		n.arrive()
		n.deliver()
	}
}

func (sim *clusterSimulation) join(n *simNode) {
	if len(sim.clients) > 20 {
		return
	}
	c := &clusterClient{id: len(sim.clients), node: n, received: map[string]int{}}
	c.session = n.room.Join(netip.AddrPort{}, simWaker{}, c)
	c.session.Feed(wire.AppendCred(nil, fmt.Sprint("name", sim.IntN(8)), "x"))
	sim.clients = append(sim.clients, c)
}

func (sim *clusterSimulation) someone() *clusterClient {
	var live []*clusterClient
	for _, c := range sim.clients {
		if !c.gone && c.in {
			live = append(live, c)
		}
	}
	if len(live) == 0 {
		return nil
	}
	return live[sim.IntN(len(live))]
}

// feed lets a client say a few lines, and send files.
func (sim *clusterSimulation) feed() {
	c := sim.someone()
	if c == nil || c.session.Held() && sim.IntN(10) > 0 {
		return
	}
	var in []byte
	for range 1 + sim.IntN(6) {
		if sim.IntN(6) == 0 {
			in = append(in, file(fmt.Sprint("name", sim.IntN(9)), fmt.Sprintf("%d.%d", c.id, c.files))...)
			c.files++
			continue
		}
		text := fmt.Sprintf("%d.%d%s", c.id, len(c.lines), sim.padding)
		in = wire.AppendChat(in, text)
		c.lines = append(c.lines, text)
	}
	cut := sim.IntN(len(in) + 1)
	c.session.Feed(in[:cut])
	c.session.Feed(in[cut:])
}

func (sim *clusterSimulation) write() {
	if c := sim.someone(); c != nil {
		if p := c.session.Next(); p != nil {
			n := 1 + sim.IntN(len(p))
			c.got = append(c.got, p[:n]...)
			c.session.Wrote(n)
		}
	}
}

func (sim *clusterSimulation) leave() {
	if c := sim.someone(); c != nil {
		c.gone = true
		c.session.Leave([]Reason{ReasonEOF, ReasonReset}[sim.IntN(2)])
	}
}

func (sim *clusterSimulation) tick(d time.Duration) {
	sim.now = sim.now.Add(d)
	for _, n := range sim.nodes {
		n.room.Tick(sim.now)
	}
}

// send publishes the outgoing message of a server, perhaps again.
func (n *simNode) send() {
	if n.cut || !n.publish && n.number == 0 {
		return
	}
	number, frames := n.room.Outgoing(nil)
	n.publish, n.number = false, number
	if number == 0 || len(frames) == 0 {
		n.wrong = fmt.Errorf("%s is told of a message: number %d, %d octets", n.id, number, len(frames))
		return
	}
	for range 1 + n.IntN(2) {
		if n.IntN(5) > 0 { // else it is lost
			n.onWay = append(n.onWay, Delivery{Node: n.id, Number: number, Frames: frames})
		}
	}
}

// arrive lets the stream accept one of the messages in flight.
func (n *simNode) arrive() {
	if len(n.onWay) == 0 {
		return
	}
	i := n.IntN(len(n.onWay))
	d := n.onWay[i]
	n.onWay = slices.Delete(n.onWay, i, i+1)
	d.Sequence, d.At = uint64(len(n.stream)+1), n.now
	n.clusterSimulation.stream = append(n.stream, d)
	if d.Number <= n.numbers[n.id] {
		return
	}
	if d.Number != n.numbers[n.id]+1 {
		n.wrong = fmt.Errorf("%s publishes message %d before %d is delivered", n.id, d.Number, n.numbers[n.id]+1)
	}
	n.numbers[n.id] = d.Number
	n.clusterSimulation.said = append(n.said, saidIn(d.Frames)...)
}

// saidIn is the frames of clients among frames.
func saidIn(frames []byte) (said []string) {
	for f := range strings.SplitAfterSeq(string(frames), "\x00") {
		if f != "" && f != "\x00" && !strings.HasPrefix(f, "server: ") {
			said = append(said, f)
		}
	}
	return said
}

// deliver delivers the next messages to a server, or some of the last once more.
func (n *simNode) deliver() {
	if n.cut {
		return
	}
	if n.next > 0 && n.IntN(5) == 0 {
		for _, d := range n.stream[n.IntN(n.next):n.next] {
			n.room.Deliver(d)
		}
	}
	for range 1 + n.IntN(3) {
		if !n.behind() {
			return
		}
		d := n.stream[n.next]
		n.next++
		if d.Node == n.id && d.Number == n.number {
			n.number = 0
		}
		before := n.room.Snapshot().Messages
		if missed, err := n.room.Deliver(d); missed > 0 || err != nil {
			n.wrong = fmt.Errorf("%s: %+v: missed %d, %v", n.id, d, missed, err)
		}
		n.heard += int(n.room.Snapshot().Messages - before)
	}
}

// answerClaim answers a claim; if the server is cut off, with a denial.
func (n *simNode) answerClaim() {
	if len(n.claims) == 0 {
		return
	}
	i := n.IntN(len(n.claims))
	l := n.claims[i]
	n.claims = slices.Delete(n.claims, i, i+1)
	c := l.session.tag.(*clusterClient)
	switch {
	case n.cut:
		l.Answer(errors.New("out of reach"))
	case n.names[l.Folded]:
		l.Answer(errors.New("name is taken"))
	default:
		n.names[l.Folded] = true
		l.Answer(nil)
	}
	if c.session.State() == StateGrant {
		c.in, c.from = true, n.heard
	}
}

// answerForward forwards a File frame; sometimes the answer is lost.
func (n *simNode) answerForward() {
	if len(n.forwards) == 0 {
		return
	}
	f := n.forwards[0]
	n.forwards = n.forwards[1:]
	o := NoSuchUser
	for _, to := range n.nodes {
		if o == NoSuchUser && to != n && !to.cut {
			o = to.room.TakeForward(f.To, f.Frames)
		}
	}
	if n.cut || o == NoSuchUser && n.names[f.To] || n.IntN(8) == 0 {
		o = Unavailable
	}
	f.Answer(o)
}
