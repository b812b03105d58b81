// Package cluster joins the rooms of several servers to one, over NATS with JetStream,
// which whoever runs the servers runs as well.
//
//   - A stream gives what is said its order. A Cluster publishes what core.Room.Outgoing
//     gives, and delivers to the room what the stream has, from all servers.
//   - A key-value bucket holds who is in the room, a key for each name, and a key for each
//     server, which the server renews every second. Names of a server that has not done so for
//     12 s are taken away by the others.
//   - A frame for a client of another server is a request to that server.
//
// A server that loses touch with the stream goes on where it was when it is back.
// Meanwhile nobody can log in, and what its clients say waits.
//
// The package refuses to run NATS, to change a stream that is there, and to keep what is
// said anywhere but in the stream and the room.
//
// A Cluster works on goroutines of its own. Any goroutine may call its methods; those of
// core.Cluster never block.
package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chatbench/core"
	"chatbench/core/wire"
)

const (
	// defaultLostAfter is how long nothing may have come from the stream and the bucket, or a
	// message may wait to be delivered, until a server counts as cut off. It renews its own key
	// every beatEvery. NATS servers take some 5 s to agree on another leader when one dies.
	defaultLostAfter = 8 * time.Second
	// askFor is how long a request may take.
	askFor = 2 * time.Second
	// askAgain is when one is sent again that has no answer: it is lost if it comes while NATS
	// servers agree on a leader, and the one after that is not to wait for askFor.
	askAgain = 500 * time.Millisecond
	// retryEvery is the time between two tries of what failed.
	retryEvery = 200 * time.Millisecond
	// connectFor is how long nobody may answer until the start is given up.
	connectFor = 3 * time.Second
	// startFor is how long the start may take then: to read the end of the stream, and the
	// names.
	startFor = 15 * time.Second
	// closeFor is how long the end may take: to publish what was said, and to give names back.
	closeFor = time.Second
)

// What clients are told.
const (
	lostText  = "this server has lost touch with the others: what you say waits until that is over"
	backText  = "this server is in touch with the others again"
	elderText = "somebody of your name was in the room before you, by way of another server"
)

// What logins are denied with.
var (
	errLost  = errors.New("this server has lost touch with the others: try again in a moment")
	errTaken = errors.New(wire.NameTaken)
)

// Config is what a Cluster is made of.
type Config struct {
	URLs string // of NATS servers, with commas between them; "": there is no cluster
	Room string // its name, which all servers of a room share: letters, digits, - and _

	Credentials string // path of a file of NATS credentials; ""
	CA          string // path of certificates (PEM) that the NATS servers' are to be signed with; "": the system's
	Cert, Key   string // paths of the client's own certificate and key (PEM); ""

	// Of the stream, if this server is the one that makes it.
	MaxAge   time.Duration // how long it keeps what was said
	MaxBytes int64         // how many octets it keeps
	Replicas int           // how many NATS servers keep a copy of it, and of the names

	History int          // lines that newcomers are told: as many messages of the stream are read at the start, 1,000 at the most
	Log     *slog.Logger // never nil
	// Entering, if set, is called while a login is being answered that then has to wait for
	// its name. What it returns answers that, and says whether it let the client in.
	Entering func() func(l *core.Login, err error) (in bool)
}

var goodRoom = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// GoodRoom says whether a room may have a name.
func GoodRoom(name string) bool { return goodRoom.MatchString(name) }

// Cluster is one server's part of a room that is on several.
type Cluster struct {
	cfg   Config
	node  string // what this server is called, for as long as it runs
	conn  *nats.Conn
	js    jetstream.JetStream
	room  *core.Room
	names names
	feed  feed

	limits jetstream.StreamConfig // as Open found them

	lostAfter time.Duration // defaultLostAfter, less in tests

	bell   chan struct{} // something may have to be published
	back   chan struct{} // the connection was lost, and is there again
	good   atomic.Int64  // when something last came from the stream or the bucket, in Unix nanoseconds
	flight flight        // the message that is to be published
	lost   atomic.Bool   // the server is cut off

	work  sync.WaitGroup
	end   context.CancelFunc
	ended context.Context
}

var _ core.Cluster = (*Cluster)(nil)

// Open connects, and makes the stream if it is not there. Start or Close follows.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	id := make([]byte, 8)
	rand.Read(id) // never fails
	c := &Cluster{cfg: cfg, node: hex.EncodeToString(id), bell: make(chan struct{}, 1), back: make(chan struct{}, 1), lostAfter: defaultLostAfter}
	if c.cfg.Entering == nil {
		c.cfg.Entering = func() func(*core.Login, error) bool {
			return func(l *core.Login, err error) bool { l.Answer(err); return err == nil }
		}
	}
	c.ended, c.end = context.WithCancel(context.Background())
	c.names.init(c)
	ctx, cancel := context.WithTimeout(ctx, startFor)
	defer cancel()
	if err := c.connectSoon(); err != nil {
		return nil, err
	}
	if err := c.openFeed(ctx); err != nil {
		c.conn.Close()
		return nil, err
	}
	return c, nil
}

// Check says why Open would fail, as far as that shows without making anything.
func Check(ctx context.Context, cfg Config) error {
	c := &Cluster{cfg: cfg}
	if err := c.connect(); err != nil {
		return err
	}
	defer c.conn.Close()
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if _, err := c.js.AccountInfo(ctx); err != nil {
		return c.noStream(err)
	}
	return nil
}

// noStream is why there is no stream.
func (c *Cluster) noStream(err error) error {
	return fmt.Errorf("cluster: stream %s cannot be had: is JetStream on at %s, and may this server use it? (%w)", c.streamName(), redacted(c.cfg.URLs), err)
}

// connectSoon connects. NATS servers that were started together with this one may need a
// moment until they can be reached.
func (c *Cluster) connectSoon() error {
	for began := time.Now(); ; {
		err := c.connect()
		if err == nil || time.Since(began) > connectFor {
			return err
		}
		c.pause(retryEvery)
	}
}

// connect connects to one of the NATS servers. The connection looks for another one when
// it breaks, for as long as it is not closed.
func (c *Cluster) connect() error {
	log := c.cfg.Log
	options := []nats.Option{
		nats.Name("chatd " + c.cfg.Room + " " + c.node),
		nats.Timeout(askFor), nats.MaxReconnects(-1), nats.ReconnectWait(retryEvery),
		nats.ReconnectBufSize(-1), // what is published while there is no connection fails at once
		nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("the connection to NATS is lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connected to NATS again", "server", nc.ConnectedUrlRedacted())
			ring(c.back)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Debug("NATS", "err", err) }),
	}
	if c.cfg.Credentials != "" {
		options = append(options, nats.UserCredentials(c.cfg.Credentials))
	}
	if c.cfg.CA != "" {
		options = append(options, nats.RootCAs(c.cfg.CA))
	}
	if c.cfg.Cert != "" {
		options = append(options, nats.ClientCert(c.cfg.Cert, c.cfg.Key))
	}
	var err error
	if c.conn, err = nats.Connect(c.cfg.URLs, options...); err != nil {
		return fmt.Errorf("cluster: no NATS server of %s can be reached: %w: start NATS, or correct -cluster", redacted(c.cfg.URLs), err)
	}
	if c.js, err = jetstream.New(c.conn); err != nil {
		c.conn.Close()
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// redacted is URLs without their passwords.
func redacted(urls string) string {
	var all []string
	for u := range strings.SplitSeq(urls, ",") {
		if at := strings.LastIndexByte(u, '@'); at >= 0 {
			scheme, _, _ := strings.Cut(u, "://")
			u = scheme + "://…" + u[at:]
		}
		all = append(all, u)
	}
	return strings.Join(all, ",")
}

// Node is what this server is called among those of the room: for core.Config.
func (c *Cluster) Node() string { return c.node }

// Start begins to work for the room, which was made with this Cluster and its Node. It
// returns when the room has what the stream held, and knows who is in it elsewhere; with
// an error the Cluster is closed.
func (c *Cluster) Start(ctx context.Context, room *core.Room) error {
	c.room = room
	c.touch()
	ctx, cancel := context.WithTimeout(ctx, startFor)
	defer cancel()
	if err := cmp.Or(c.receiveFiles(), c.answerForNames()); err != nil {
		c.Close()
		return err
	}
	ready := make(chan struct{})
	var parts sync.WaitGroup
	parts.Add(2)
	c.work.Go(func() { c.follow(parts.Done) })
	c.work.Go(func() { c.names.keep(parts.Done) })
	c.work.Go(c.publish)
	c.work.Go(c.watchTouch)
	c.work.Go(c.names.verify)
	go func() { parts.Wait(); close(ready) }()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		c.Close()
		return fmt.Errorf("cluster: room %s: the stream and the names cannot be read: is JetStream at work, with a quorum of its servers? (%w)", c.cfg.Room, ctx.Err())
	}
}

// Close publishes what is left, gives the names back, and leaves: call it when the room is
// drained. If there is no touch with the stream it says in the log what is lost.
func (c *Cluster) Close() {
	if c.room != nil {
		deadline := time.Now().Add(closeFor)
		for !c.lost.Load() && time.Now().Before(deadline) && (c.room.Undelivered() > 0 || c.names.waiting() > 0) {
			time.Sleep(5 * time.Millisecond)
		}
		if n := c.room.Undelivered(); n > 0 {
			c.cfg.Log.Error("what clients said last was not published", "octets", n)
		}
	}
	c.end()
	c.work.Wait()
	if c.room != nil && !c.lost.Load() {
		c.names.leave()
	}
	c.conn.Close()
}

// Stats is how a server stands with the others of its room.
type Stats struct {
	Node        string  `json:"node"`              // what it is called among them
	Lost        bool    `json:"lost"`              // it has no touch with them
	NATS        string  `json:"nats"`              // of the connection to NATS: CONNECTED, RECONNECTING, CLOSED
	Sequence    uint64  `json:"sequence"`          // in the stream, of what was delivered last
	Elsewhere   int     `json:"elsewhere"`         // clients in the room by way of others
	Undelivered int64   `json:"undelivered_bytes"` // what clients here have said, and nobody has heard
	Latency     Latency `json:"-"`
}

// Stats is how this server stands now. Start has returned.
func (c *Cluster) Stats() Stats {
	_, n := c.names.elsewhere(0)
	return Stats{
		Node: c.node, Lost: c.lost.Load(), NATS: c.conn.Status().String(), Sequence: c.feed.last.Load(),
		Elsewhere: n, Undelivered: c.room.Undelivered(), Latency: c.flight.latency(),
	}
}

// touch notes that something has come from the stream or the bucket.
func (c *Cluster) touch() { c.good.Store(time.Now().UnixNano()) }

// watchTouch tells the clients when the server is cut off, and when that is over.
func (c *Cluster) watchTouch() {
	for c.pause(retryEvery) {
		lost := time.Since(time.Unix(0, c.good.Load())) > c.lostAfter || c.flight.waits() > c.lostAfter
		if lost == c.lost.Load() {
			continue
		}
		c.lost.Store(lost)
		if lost {
			c.cfg.Log.Error("there is no touch with the other servers: nobody can log in, and what is said waits", "nats", c.conn.Status().String())
			c.room.TellHere(lostText)
			continue
		}
		c.cfg.Log.Info("there is touch with the other servers again")
		c.room.TellHere(backText)
	}
}

// complain warns of what goes wrong. While the server is cut off, which was said, much does.
func (c *Cluster) complain(text string, args ...any) {
	level := slog.LevelWarn
	if c.lost.Load() {
		level = slog.LevelDebug
	}
	c.cfg.Log.Log(c.ended, level, text, args...)
}

// pause waits, and says whether the work goes on.
func (c *Cluster) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ended.Done():
		return false
	}
}

// Elsewhere is core.Cluster's.
func (c *Cluster) Elsewhere(octets int) (names []string, n int) { return c.names.elsewhere(octets) }

// Claim is core.Cluster's.
func (c *Cluster) Claim(l *core.Login) { c.names.claim(l) }

// Release is core.Cluster's.
func (c *Cluster) Release(folded string) { c.names.release(folded) }

// Wake is core.Cluster's.
func (c *Cluster) Wake() { ring(c.bell) }

// ring rings a bell, a channel that holds one ring.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
