// Package cluster joins the rooms of several servers into one, over NATS with JetStream. The
// operator of the servers also runs the NATS servers.
//
//   - A stream orders the messages. A Cluster publishes what core.Room.Outgoing returns, and
//     delivers to the room the messages of all servers from the stream.
//   - A key-value bucket has a key for each name in the room, and a key for each server, which
//     the server renews every second. If a server has not renewed its key for 12 s, the other
//     servers remove its names.
//   - A frame for a client of another server is a request to that server.
//
// A server that loses its connection to the stream is cut off: nobody can log in, and what its
// clients say waits. When the connection is back, it continues at the position where it stopped.
//
// The package does not run NATS, does not change a stream that exists, and keeps messages nowhere
// but in the stream and the room.
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
	// defaultCutOffAfter is when a server counts as cut off: nothing has come from the stream or
	// the bucket for this long, or a message has waited this long to be delivered. The server
	// renews its own key every heartbeatInterval. NATS servers take about 5 s to elect another
	// leader when one dies.
	defaultCutOffAfter = 8 * time.Second
	// requestTimeout is how long a request may take.
	requestTimeout = 2 * time.Second
	// hedgeDelay is when a request without an answer is sent again. A request that arrives while
	// NATS servers elect a leader is lost; the next one should not wait for requestTimeout.
	hedgeDelay = 500 * time.Millisecond
	// retryInterval is the time between two tries of something that failed.
	retryInterval = 200 * time.Millisecond
	// connectTimeout is how long Open tries to reach a NATS server.
	connectTimeout = 3 * time.Second
	// startTimeout is how long Open and Start may then take to read the end of the stream and
	// the names.
	startTimeout = 15 * time.Second
	// closeTimeout is how long Close may take to publish what was said and to release names.
	closeTimeout = time.Second
)

// What clients are told.
const (
	cutOffText      = "this server has lost touch with the others: what you say waits until that is over"
	reconnectedText = "this server is in touch with the others again"
	nameLostText    = "somebody with your name entered the room before you, on another server"
)

// Why a login is denied.
var (
	errCutOff = errors.New("this server has lost touch with the others: try again in a moment")
	errTaken  = errors.New(wire.NameTaken)
)

// errNoAnswer means that a request has not been answered in time. It may have been carried out.
var errNoAnswer = errors.New("no answer")

// Config configures a Cluster.
type Config struct {
	URLs string // of NATS servers, separated by commas; "": there is no cluster
	Room string // the name of the room, the same on all its servers: letters, digits, - and _

	Credentials string // path of a file of NATS credentials; "": none
	CA          string // path of CA certificates (PEM) for the NATS servers; "": those of the system
	Cert, Key   string // paths of the client's own certificate and key (PEM); "": none

	// Of the stream, if this server is the one that makes it.
	MaxAge   time.Duration // how long it keeps messages
	MaxBytes int64         // how many octets it keeps
	Replicas int           // how many NATS servers keep a copy of it, and of the names

	History int          // lines of history for clients that enter: Start reads this many messages of the stream, at most 1,000
	Log     *slog.Logger // never nil
	// Entering, if set, is called while a login is answered that then has to wait for its name.
	// The function that it returns gives the final answer, and says whether the client was let in.
	Entering func() func(l *core.Login, err error) (in bool)
}

var validRoom = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// ValidRoom says whether a name is allowed for a room.
func ValidRoom(name string) bool { return validRoom.MatchString(name) }

// Cluster is one server's part of a room that is on several.
type Cluster struct {
	cfg      Config
	node     string // the ID of this server; it has another one when it is started again
	conn     *nats.Conn
	js       jetstream.JetStream
	room     *core.Room
	names    names
	position position

	limits jetstream.StreamConfig // as Open found them

	cutOffAfter time.Duration // defaultCutOffAfter, less in tests

	toPublish   chan struct{} // there may be a message to publish
	reconnected chan struct{} // the connection was lost, and is there again
	lastContact atomic.Int64  // when something last came from the stream or the bucket, in Unix nanoseconds
	inFlight    inFlight      // the message that is being published
	cutOff      atomic.Bool   // the server is cut off

	work  sync.WaitGroup
	end   context.CancelFunc
	ended context.Context
}

var _ core.Cluster = (*Cluster)(nil)

// Open connects to NATS, and makes the stream if it does not exist. The caller must then call
// Start or Close.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	id := make([]byte, 8)
	rand.Read(id) // never fails
	c := &Cluster{cfg: cfg, node: hex.EncodeToString(id), toPublish: make(chan struct{}, 1), reconnected: make(chan struct{}, 1), cutOffAfter: defaultCutOffAfter}
	if c.cfg.Entering == nil {
		c.cfg.Entering = func() func(*core.Login, error) bool {
			return func(l *core.Login, err error) bool { l.Answer(err); return err == nil }
		}
	}
	c.ended, c.end = context.WithCancel(context.Background())
	c.names.init(c)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.connectWithRetry(); err != nil {
		return nil, err
	}
	if err := c.openStream(ctx); err != nil {
		c.conn.Close()
		return nil, err
	}
	return c, nil
}

// Check returns the error that Open would return, as far as it can tell without making anything.
func Check(ctx context.Context, cfg Config) error {
	c := &Cluster{cfg: cfg}
	if err := c.connect(); err != nil {
		return err
	}
	defer c.conn.Close()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := c.js.AccountInfo(ctx); err != nil {
		return c.streamError(err)
	}
	return nil
}

// streamError explains why the stream cannot be used.
func (c *Cluster) streamError(err error) error {
	return fmt.Errorf("cluster: cannot use stream %s: check that JetStream is enabled at %s and that this server may use it (%w)", c.streamName(), redacted(c.cfg.URLs), err)
}

// connectWithRetry connects, and retries for connectTimeout: NATS servers that were started together
// with this one may not be reachable at once.
func (c *Cluster) connectWithRetry() error {
	for began := time.Now(); ; {
		err := c.connect()
		if err == nil || time.Since(began) > connectTimeout {
			return err
		}
		c.pause(retryInterval)
	}
}

// connect connects to one of the NATS servers. When the connection breaks it connects to another
// one, until it is closed.
func (c *Cluster) connect() error {
	log := c.cfg.Log
	options := []nats.Option{
		nats.Name("chatd " + c.cfg.Room + " " + c.node),
		nats.Timeout(requestTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(retryInterval),
		nats.ReconnectBufSize(-1), // without a connection, publishing fails at once
		nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the connection to NATS", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("reconnected to NATS", "server", nc.ConnectedUrlRedacted())
			notify(c.reconnected)
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
		return fmt.Errorf("cluster: cannot reach a NATS server at %s: %w: start NATS, or correct -cluster", redacted(c.cfg.URLs), err)
	}
	if c.js, err = jetstream.New(c.conn); err != nil {
		c.conn.Close()
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// redacted replaces the users and passwords in URLs.
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

// Node is the ID of this server among the servers of the room, for core.Config.
func (c *Cluster) Node() string { return c.node }

// Start begins to work for the room, which must have been made with this Cluster and its Node. It
// returns when the messages that the stream had are delivered and the names on other servers are
// known. After an error the Cluster is closed.
func (c *Cluster) Start(ctx context.Context, room *core.Room) error {
	c.room = room
	c.noteContact()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := cmp.Or(c.receiveFiles(), c.serveNames()); err != nil {
		c.Close()
		return err
	}
	ready := make(chan struct{})
	var parts sync.WaitGroup
	parts.Add(2)
	c.work.Go(func() { c.follow(parts.Done) })
	c.work.Go(func() { c.names.follow(parts.Done) })
	c.work.Go(c.publish)
	c.work.Go(c.watchContact)
	c.work.Go(c.names.verify)
	go func() { parts.Wait(); close(ready) }()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		c.Close()
		return fmt.Errorf("cluster: room %s: cannot read the stream and the names: check that JetStream is running and has a quorum of its servers (%w)", c.cfg.Room, ctx.Err())
	}
}

// Close publishes what is left, releases the names, and disconnects. Call it when the room is
// drained. If the server is cut off, the log says how much was not published.
func (c *Cluster) Close() {
	if c.room != nil {
		deadline := time.Now().Add(closeTimeout)
		for !c.cutOff.Load() && time.Now().Before(deadline) && (c.room.Undelivered() > 0 || c.names.queued() > 0) {
			time.Sleep(5 * time.Millisecond)
		}
		if n := c.room.Undelivered(); n > 0 {
			c.cfg.Log.Error("what clients said last was not published", "octets", n)
		}
	}
	c.end()
	c.work.Wait()
	if c.room != nil && !c.cutOff.Load() {
		c.names.leave()
	}
	c.conn.Close()
}

// Stats is the state of a server's connection to the other servers of its room.
type Stats struct {
	Node        string  `json:"node"`              // the ID of this server
	CutOff      bool    `json:"lost"`              // it is cut off from the others
	NATS        string  `json:"nats"`              // state of the connection to NATS: CONNECTED, RECONNECTING, CLOSED
	Sequence    uint64  `json:"sequence"`          // stream sequence of the last delivered message
	Remote      int     `json:"elsewhere"`         // clients in the room on other servers
	Undelivered int64   `json:"undelivered_bytes"` // octets from clients of this server that the stream has not delivered yet
	Latency     Latency `json:"-"`
}

// Stats returns the current Stats. Call it after Start has returned.
func (c *Cluster) Stats() Stats {
	_, n := c.names.remote(0)
	return Stats{
		Node: c.node, CutOff: c.cutOff.Load(), NATS: c.conn.Status().String(), Sequence: c.position.last.Load(),
		Remote: n, Undelivered: c.room.Undelivered(), Latency: c.inFlight.latency(),
	}
}

// noteContact notes that something has come from the stream or the bucket.
func (c *Cluster) noteContact() { c.lastContact.Store(time.Now().UnixNano()) }

// watchContact tells the clients when the server is cut off, and when that is over.
func (c *Cluster) watchContact() {
	for c.pause(retryInterval) {
		cutOff := time.Since(time.Unix(0, c.lastContact.Load())) > c.cutOffAfter || c.inFlight.waits() > c.cutOffAfter
		if cutOff == c.cutOff.Load() {
			continue
		}
		c.cutOff.Store(cutOff)
		if cutOff {
			c.cfg.Log.Error("cut off from the other servers: nobody can log in, and what is said waits", "nats", c.conn.Status().String())
			c.room.TellLocal(cutOffText)
			continue
		}
		c.cfg.Log.Info("connected with the other servers again")
		c.room.TellLocal(reconnectedText)
	}
}

// warn logs a warning. While the server is cut off it logs at debug level: that the server is
// cut off has been logged, and much fails then.
func (c *Cluster) warn(text string, args ...any) {
	level := slog.LevelWarn
	if c.cutOff.Load() {
		level = slog.LevelDebug
	}
	c.cfg.Log.Log(c.ended, level, text, args...)
}

// pause waits, and returns false if the Cluster is closed meanwhile.
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

// RemoteNames implements core.Cluster.
func (c *Cluster) RemoteNames(octets int) (names []string, n int) { return c.names.remote(octets) }

// Claim implements core.Cluster.
func (c *Cluster) Claim(l *core.Login) { c.names.claim(l) }

// Release implements core.Cluster.
func (c *Cluster) Release(folded string) { c.names.release(folded) }

// Wake implements core.Cluster.
func (c *Cluster) Wake() { notify(c.toPublish) }

// notify sends on a channel with a buffer of one, and does nothing if the buffer is full.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
