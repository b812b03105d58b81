package cluster

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chatbench/core"
)

const (
	// publishedFor is how long a message that the stream has taken may be on its way back,
	// until it is published again.
	publishedFor = 3 * time.Second
	// duplicatesFor is how long the stream knows the ID of a message. One that is published
	// again later is in the stream twice, and rooms take it once.
	duplicatesFor = 2 * time.Minute
	// historyMost is how many messages are read at the start for history.
	historyMost = 1000
	// After each paceEvery octets that were delivered, those whose transport has more than
	// paceBehind to offer them are waited for, but not for longer than paceFor.
	paceEvery  = 256 << 10
	paceBehind = 1 << 20
	paceFor    = 100 * time.Millisecond
)

// Headers of a message of the stream.
const (
	nodeHeader   = "Chat-Node"   // what the server is called that published it
	numberHeader = "Chat-Number" // the number that its room gave it
)

var errGap = errors.New("messages are missing: they are asked for again")

// errBroken is of a connection that was lost. What was on its way then is lost too, as nobody
// acknowledges it; without a message after it, that would not show.
var errBroken = errors.New("the connection was lost meanwhile")

// feed is how far the stream was read. It belongs to one goroutine, that of follow, once
// it is open.
type feed struct {
	created time.Time     // when the stream was made
	last    atomic.Uint64 // what was delivered last; any goroutine may look
	paced   int           // octets delivered since somebody was last waited for
}

func (c *Cluster) tryStream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return c.stream(ctx)
}

func (c *Cluster) streamName() string { return "CHAT_" + c.cfg.Room }
func (c *Cluster) subject() string    { return "chat." + c.cfg.Room + ".said" }

// stream is the stream, made if it is not there.
func (c *Cluster) stream(ctx context.Context) (jetstream.Stream, error) {
	s, err := c.js.Stream(ctx, c.streamName())
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return s, err
	}
	c.cfg.Log.Info("the stream is made", "stream", c.streamName(), "age", c.cfg.MaxAge, "octets", c.cfg.MaxBytes, "replicas", c.cfg.Replicas)
	s, err = c.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: c.streamName(), Subjects: []string{c.subject()}, Description: "what is said in the chat room " + c.cfg.Room,
		MaxAge: c.cfg.MaxAge, MaxBytes: c.cfg.MaxBytes, Replicas: c.cfg.Replicas,
		Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage, Duplicates: min(duplicatesFor, c.cfg.MaxAge),
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another server was faster
		return c.js.Stream(ctx, c.streamName())
	}
	return s, err
}

// openFeed settles where reading begins. NATS servers that have just started need a moment
// until they have a stream.
func (c *Cluster) openFeed(ctx context.Context) error {
	var s jetstream.Stream
	for {
		var err error
		s, err = c.tryStream(ctx)
		if err == nil {
			break
		}
		never := errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
		if never || ctx.Err() != nil || !c.pause(retryEvery) {
			return c.noStream(err)
		}
	}
	info := s.CachedInfo()
	c.limits = info.Config
	c.feed.created = info.Created
	c.feed.last.Store(info.State.LastSeq - min(uint64(min(c.cfg.History, historyMost)), info.State.LastSeq))
	return nil
}

// Limits is what the stream keeps, and in how many copies. That is what whoever made it
// has set, which may be another server, or an operator.
func (c *Cluster) Limits() (age time.Duration, octets int64, replicas int) {
	return c.limits.MaxAge, c.limits.MaxBytes, c.limits.Replicas
}

// follow delivers to the room what the stream has, in order, until the Cluster is closed.
// ready is called once, when the room has what was there at the start.
func (c *Cluster) follow(ready func()) {
	var once sync.Once
	for c.ended.Err() == nil {
		err := c.read(func() { once.Do(ready) })
		if c.ended.Err() == nil {
			c.complain("the stream is read again", "after", c.feed.last.Load(), "err", err)
			c.pause(retryEvery)
		}
	}
}

// read delivers what comes after what was delivered last, until something is wrong. It
// calls ready whenever it has delivered all there is.
func (c *Cluster) read(ready func()) error {
	select {
	case <-c.back: // it is read anew anyway
	default:
	}
	ctx, cancel := context.WithTimeout(c.ended, askFor)
	defer cancel()
	s, err := ask(ctx, c.stream)
	if err != nil {
		return err
	}
	c.sameStream(s.CachedInfo())
	from := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: c.feed.last.Load() + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second,
	}
	consumer, err := ask(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return s.CreateConsumer(ctx, from) })
	if err != nil {
		return err
	}
	if consumer.CachedInfo().NumPending == 0 {
		ready()
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(128), jetstream.PullExpiry(10*time.Second),
		jetstream.PullHeartbeat(time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	reading, stop := context.WithCancelCause(c.ended)
	defer stop(nil)
	context.AfterFunc(reading, messages.Stop)
	go func() {
		select {
		case <-c.back:
			stop(errBroken)
		case <-reading.Done():
		}
	}()
	for first := true; ; first = false {
		m, err := messages.Next()
		if err != nil {
			return cmp.Or(context.Cause(reading), err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		// Only before the first message of a consumer the stream itself can have a gap.
		if at, last := meta.Sequence.Stream, c.feed.last.Load(); at <= last || !first && at != last+1 {
			return errGap
		}
		c.deliver(m, meta)
		if meta.NumPending == 0 {
			ready()
		}
	}
}

// sameStream has the room begin anew if the stream is another one than it was, or has
// lost what was delivered already.
func (c *Cluster) sameStream(info *jetstream.StreamInfo) {
	f := &c.feed
	last := f.last.Load()
	if info.Created.Equal(f.created) && info.State.LastSeq >= last {
		return
	}
	c.cfg.Log.Error("the stream is another one, or has lost what it had: everybody here has to log in again",
		"made", info.Created, "was", f.created, "last", info.State.LastSeq, "delivered", last)
	if !info.Created.Equal(f.created) {
		last = 0
	}
	f.created = info.Created
	f.last.Store(min(last, info.State.LastSeq))
	c.room.NewStream()
}

// deliver gives one message to the room.
func (c *Cluster) deliver(m jetstream.Msg, meta *jetstream.MsgMetadata) {
	c.touch()
	headers := m.Headers()
	number, _ := strconv.ParseUint(headers.Get(numberHeader), 10, 64)
	d := core.Delivery{Sequence: meta.Sequence.Stream, At: meta.Timestamp, Node: headers.Get(nodeHeader), Number: number, Frames: m.Data()}
	if d.Node == c.node {
		c.flight.delivered(number)
	}
	missed, err := c.room.Deliver(d)
	c.feed.last.Store(d.Sequence)
	switch {
	case number == 0:
		c.cfg.Log.Warn("a message in the stream is of no server: it is left out", "sequence", d.Sequence)
	case err != nil:
		c.cfg.Log.Warn("a message in the stream is left out", "sequence", d.Sequence, "of", d.Node, "err", err)
	}
	if missed > 0 {
		c.cfg.Log.Error("the stream has no longer what this server has not read yet: everybody here has to log in again", "messages", missed)
	}
	if d.Node == c.node {
		c.Wake() // the publisher may go on
	}
	c.pace(len(d.Frames))
}

// pace waits for the transport from time to time: it would be outrun otherwise, above all
// when a server that was cut off reads what it has missed.
func (c *Cluster) pace(octets int) {
	if c.feed.paced += octets; c.feed.paced < paceEvery {
		return
	}
	c.feed.paced = 0
	for until := time.Now().Add(paceFor); c.room.Unwritten(paceBehind) && time.Now().Before(until); {
		if !c.pause(time.Millisecond) {
			return
		}
	}
}

// publish publishes what the clients of this server say, a message at a time, until the
// Cluster is closed. A message is published again until it is delivered.
func (c *Cluster) publish() {
	var buffer []byte
	var last, taken uint64 // the numbers of the message that was last to be published, and that was last taken by the stream
	var at time.Time       // when that was
	for c.ended.Err() == nil {
		number, message := c.room.Outgoing(buffer[:0])
		buffer = message
		if number != last {
			last = number
			c.flight.begin(number)
		}
		switch {
		case number == 0:
			c.listen(time.Hour)
		case number == taken && time.Since(at) < publishedFor:
			c.listen(publishedFor - time.Since(at))
		default:
			if err := c.publishOne(number, message); err != nil {
				c.cfg.Log.Debug("publish", "number", number, "err", err)
				c.pause(retryEvery)
				continue
			}
			taken, at = number, time.Now()
			c.touch()
		}
	}
}

// listen waits until there may be something to publish, but not for longer than d.
func (c *Cluster) listen(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.bell:
	case <-t.C:
	case <-c.ended.Done():
	}
}

func (c *Cluster) publishOne(number uint64, message []byte) error {
	ctx, cancel := context.WithTimeout(c.ended, askFor)
	defer cancel()
	id := strconv.FormatUint(number, 10)
	m := &nats.Msg{Subject: c.subject(), Data: message, Header: nats.Header{nodeHeader: {c.node}, numberHeader: {id}}}
	_, err := c.js.PublishMsg(ctx, m, jetstream.WithMsgID(c.node+"-"+id), jetstream.WithExpectStream(c.streamName()))
	return err
}

// ask sends a request, and again while there is no answer, until ctx ends. The first answer
// counts, so the request has to be one that may be answered several times.
func ask[T any](ctx context.Context, request func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer)
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		go func() {
			value, err := request(ctx)
			select {
			case answers <- answer{value, err}:
			case <-ctx.Done():
			}
		}()
		select {
		case a := <-answers:
			return a.value, a.err
		case <-again.C:
		case <-ctx.Done():
			return *new(T), ctx.Err()
		}
	}
}
