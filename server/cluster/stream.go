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
	// republishAfter is when a message is published again: the stream has accepted it, but has not
	// delivered it for that long.
	republishAfter = 3 * time.Second
	// duplicateWindow is how long the stream remembers the ID of a message. A message that is
	// published again later is in the stream twice; rooms ignore the second one.
	duplicateWindow = 2 * time.Minute
	// maxHistory is how many messages are read at the start for history.
	maxHistory = 1000
	// After each paceEvery octets delivery waits for clients to whom the transport still has to
	// offer more than paceLag octets, but at most for paceTimeout.
	paceEvery   = 256 << 10
	paceLag     = 1 << 20
	paceTimeout = 100 * time.Millisecond
)

// Headers of a message of the stream.
const (
	nodeHeader   = "Chat-Node"   // the ID of the server that published it
	numberHeader = "Chat-Number" // the number that its room gave it
)

var errGap = errors.New("messages are missing in the delivery")

// errDisconnected means that the connection was lost, and with it perhaps messages that were being
// delivered. They are not acknowledged, so the loss would only be noticed with the next message.
var errDisconnected = errors.New("the connection was lost meanwhile")

// position is how far the stream was read. Once it is open, it belongs to the goroutine of follow.
type position struct {
	created time.Time     // when the stream was made
	last    atomic.Uint64 // sequence of the last delivered message; any goroutine may read it
	paced   int           // octets delivered since the last wait of pace
}

func (c *Cluster) tryStream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return c.stream(ctx)
}

func (c *Cluster) streamName() string { return "CHAT_" + c.cfg.Room }
func (c *Cluster) subject() string    { return "chat." + c.cfg.Room + ".said" }

// stream opens the stream, and makes it if it does not exist.
func (c *Cluster) stream(ctx context.Context) (jetstream.Stream, error) {
	s, err := c.js.Stream(ctx, c.streamName())
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return s, err
	}
	c.cfg.Log.Info("making the stream", "stream", c.streamName(), "age", c.cfg.MaxAge, "octets", c.cfg.MaxBytes, "replicas", c.cfg.Replicas)
	s, err = c.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: c.streamName(), Subjects: []string{c.subject()}, Description: "what is said in the chat room " + c.cfg.Room,
		MaxAge: c.cfg.MaxAge, MaxBytes: c.cfg.MaxBytes, Replicas: c.cfg.Replicas,
		Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage, Duplicates: min(duplicateWindow, c.cfg.MaxAge),
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another server was faster
		return c.js.Stream(ctx, c.streamName())
	}
	return s, err
}

// openStream opens the stream and sets where reading begins. It retries until ctx ends, because NATS
// servers that have just started do not have a stream at once.
func (c *Cluster) openStream(ctx context.Context) error {
	var s jetstream.Stream
	for {
		var err error
		s, err = c.tryStream(ctx)
		if err == nil {
			break
		}
		never := errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
		if never || ctx.Err() != nil || !c.pause(retryInterval) {
			return c.streamError(err)
		}
	}
	info := s.CachedInfo()
	c.limits = info.Config
	c.position.created = info.Created
	c.position.last.Store(info.State.LastSeq - min(uint64(min(c.cfg.History, maxHistory)), info.State.LastSeq))
	return nil
}

// Limits is how much the stream keeps, and in how many copies, as set when the stream was made,
// perhaps by another server or an operator.
func (c *Cluster) Limits() (age time.Duration, octets int64, replicas int) {
	return c.limits.MaxAge, c.limits.MaxBytes, c.limits.Replicas
}

// follow delivers the messages of the stream to the room, in order, until the Cluster is closed.
// It calls ready once, when the messages that were there at the start are delivered.
func (c *Cluster) follow(ready func()) {
	var once sync.Once
	for c.ended.Err() == nil {
		err := c.read(func() { once.Do(ready) })
		if c.ended.Err() == nil {
			c.warn("reading the stream again", "after", c.position.last.Load(), "err", err)
			c.pause(retryInterval)
		}
	}
}

// read delivers the messages that follow the last delivered one, until an error. It calls ready
// whenever it has delivered all there is.
func (c *Cluster) read(ready func()) error {
	select {
	case <-c.reconnected: // the stream is read again anyway
	default:
	}
	ctx, cancel := context.WithTimeout(c.ended, requestTimeout)
	defer cancel()
	s, err := hedged(ctx, c.stream)
	if err != nil {
		return err
	}
	c.checkStream(s.CachedInfo())
	from := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: c.position.last.Load() + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second,
	}
	consumer, err := hedged(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return s.CreateConsumer(ctx, from) })
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
		case <-c.reconnected:
			stop(errDisconnected)
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
		// Before the first message of a consumer a gap is one of the stream itself.
		if at, last := meta.Sequence.Stream, c.position.last.Load(); at <= last || !first && at != last+1 {
			return errGap
		}
		c.deliver(m, meta)
		if meta.NumPending == 0 {
			ready()
		}
	}
}

// checkStream tells the room if the stream was made again, or has lost messages that were already
// delivered: everybody has to log in again then.
func (c *Cluster) checkStream(info *jetstream.StreamInfo) {
	f := &c.position
	last := f.last.Load()
	if info.Created.Equal(f.created) && info.State.LastSeq >= last {
		return
	}
	c.cfg.Log.Error("the stream was made again, or has lost messages: all clients of this server have to log in again",
		"made", info.Created, "was", f.created, "last", info.State.LastSeq, "delivered", last)
	if !info.Created.Equal(f.created) {
		last = 0
	}
	f.created = info.Created
	f.last.Store(min(last, info.State.LastSeq))
	c.room.NewStream()
}

// deliver delivers one message to the room.
func (c *Cluster) deliver(m jetstream.Msg, meta *jetstream.MsgMetadata) {
	c.noteContact()
	headers := m.Headers()
	number, _ := strconv.ParseUint(headers.Get(numberHeader), 10, 64)
	d := core.Delivery{Sequence: meta.Sequence.Stream, At: meta.Timestamp, Node: headers.Get(nodeHeader), Number: number, Frames: m.Data()}
	if d.Node == c.node {
		c.inFlight.delivered(number)
	}
	missed, err := c.room.Deliver(d)
	c.position.last.Store(d.Sequence)
	switch {
	case number == 0:
		c.cfg.Log.Warn("ignored a message in the stream that no server published", "sequence", d.Sequence)
	case err != nil:
		c.cfg.Log.Warn("ignored a message in the stream", "sequence", d.Sequence, "of", d.Node, "err", err)
	}
	if missed > 0 {
		c.cfg.Log.Error("the stream has deleted messages that this server has not read: all its clients have to log in again", "messages", missed)
	}
	if d.Node == c.node {
		c.Wake() // the next message may be published
	}
	c.pace(len(d.Frames))
}

// pace waits for the transport from time to time. Otherwise messages would arrive faster than the
// transport writes them, above all when a server that was cut off reads what it has missed.
func (c *Cluster) pace(octets int) {
	if c.position.paced += octets; c.position.paced < paceEvery {
		return
	}
	c.position.paced = 0
	for until := time.Now().Add(paceTimeout); c.room.HasUnwritten(paceLag) && time.Now().Before(until); {
		if !c.pause(time.Millisecond) {
			return
		}
	}
}

// publish publishes what the clients of this server say, one message at a time, until the Cluster
// is closed. It publishes a message again until that is delivered.
func (c *Cluster) publish() {
	var buffer []byte
	var last, accepted uint64 // numbers of the last message to publish, and of the last one that the stream has accepted
	var at time.Time          // when it accepted that
	for c.ended.Err() == nil {
		number, message := c.room.Outgoing(buffer[:0])
		buffer = message
		if number != last {
			last = number
			c.inFlight.begin(number)
		}
		switch {
		case number == 0:
			c.waitForMessage(time.Hour)
		case number == accepted && time.Since(at) < republishAfter:
			c.waitForMessage(republishAfter - time.Since(at))
		default:
			if err := c.publishOne(number, message); err != nil {
				c.cfg.Log.Debug("publish", "number", number, "err", err)
				c.pause(retryInterval)
				continue
			}
			accepted, at = number, time.Now()
			c.noteContact()
		}
	}
}

// waitForMessage waits until there may be a message to publish, but not longer than d.
func (c *Cluster) waitForMessage(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.toPublish:
	case <-t.C:
	case <-c.ended.Done():
	}
}

func (c *Cluster) publishOne(number uint64, message []byte) error {
	ctx, cancel := context.WithTimeout(c.ended, requestTimeout)
	defer cancel()
	id := strconv.FormatUint(number, 10)
	m := &nats.Msg{Subject: c.subject(), Data: message, Header: nats.Header{nodeHeader: {c.node}, numberHeader: {id}}}
	_, err := c.js.PublishMsg(ctx, m, jetstream.WithMsgID(c.node+"-"+id), jetstream.WithExpectStream(c.streamName()))
	return err
}

// hedged sends a request, and sends it again every hedgeDelay while there is no answer, until ctx
// ends. The first answer counts, so the request has to be one that may be carried out several
// times.
func hedged[T any](ctx context.Context, request func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer)
	again := time.NewTicker(hedgeDelay)
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
