// Package transfer moves files from client to client: it answers for what we
// share, asks for what others share, and carries the data on a connection of
// its own. The format of that connection is in core/wire/PROTOCOL.md.
//
// It refuses to connect anywhere unasked, to send anything to who cannot show
// the token (unless Legacy is set), and to let anybody hold more than a few
// listeners, descriptors or buffers. It knows directories only as packages
// share and downloads.
//
// A Peer is handed to client.Config as Files and outlives connections to the
// server; transfers under way go on without one. It has one goroutine that
// answers requests and one for each file being sent. List and Fetch run in
// their caller's goroutine and may be called from any.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"chatbench/client"
	"chatbench/client/downloads"
	"chatbench/client/share"
	"chatbench/core/wire"
)

const (
	// answerTimeout is how long an answer to a question of ours is waited for.
	answerTimeout = 30 * time.Second
	// dialTimeout bounds the try to reach a sharer, who waits 10 s.
	dialTimeout = 10 * time.Second
	// fetchTimeout is how long a file that was offered can be fetched.
	fetchTimeout = 10 * time.Second
	// stallTimeout is how long a connection may bring nothing.
	stallTimeout = 10 * time.Second
	// noticeTimeout is how long the server's words may take after a refusal.
	noticeTimeout = 2 * time.Second

	sendsMost      = 4  // files offered and sent at once
	sendsEach      = 2  // of those, to one requester
	fetchesEach    = 2  // files fetched at once from one sharer, who has room for no more
	requestsQueued = 64 // from others, until they are answered
)

// Why a file or a list did not come. The first two are among the client's
// Events already, in the server's words.
var (
	ErrNoUser   = errors.New("transfer: no such user")
	ErrNotFound = errors.New("transfer: file not found")
	ErrRefused  = errors.New("transfer: refused, without a reason")
	ErrNoAnswer = errors.New("transfer: no answer")
	ErrNoToken  = errors.New("transfer: the sharer asks for no token")
)

// Options is what a Peer is made of.
type Options struct {
	Share     *share.Dir     // nil: nothing is shared
	Downloads *downloads.Dir // nil: nothing can be fetched
	Ports     Ports          // to share on; zero: any
	Legacy    bool           // no tokens, no checksums: for clients that know none
	// Address is what downloaders are told to connect to, if the server passes that on
	// (chatd -p2p-advertise claimed). Sharing listens on it alone if it is this
	// machine's when the Peer is made, otherwise on all addresses of its family.
	// Zero: the one that we reach the server from, for both.
	Address netip.Addr
	// Tell tells a person what became of a file that somebody fetched from us;
	// called from any goroutine. It may be nil.
	Tell func(text string)
}

// Peer is our side of all transfers.
type Peer struct {
	o        Options
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	work     sync.WaitGroup
	requests chan request
	slots    slots
	digests  digests
	listens  netip.Addr // for those who are told Options.Address
	dial     func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

	mu    sync.Mutex
	asked map[question]*waiting
	gates map[string]chan struct{} // by sharer: how many fetches there are
}

// New starts a Peer. Close ends it.
func New(o Options) *Peer {
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	p := &Peer{
		o: o, requests: make(chan request, requestsQueued), dial: dial,
		asked: make(map[question]*waiting), gates: make(map[string]chan struct{}),
		slots: slots{each: make(map[string]int)},
	}
	if o.Address.IsValid() {
		p.listens = listenFor(o.Address)
	}
	if p.listens != o.Address && o.Share != nil {
		o.Tell(fmt.Sprintf("%s is no address of this machine: files are offered on all of its addresses", o.Address))
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.work.Go(p.answer)
	return p
}

// Close ends all that is being sent and waits for its end. Fetches end by
// their contexts, or with an error.
func (p *Peer) Close() {
	p.cancel()
	p.work.Wait()
}

// question is what we asked: whom, in the form names are compared in, and for
// which file, in NFC; for the list of all, file is empty.
type question struct{ user, file string }

func ask(user, file string) question {
	return question{fold(user), norm.NFC.String(file)}
}

// fold brings a name to the form in which the server compares names.
func fold(name string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(name)))
}

// answer to a question: a list, or where the file is, or why there is none.
type answer struct {
	names []string
	ack   wire.Ack
	err   error
}

// waiting is somebody who waits for the answer to a question.
type waiting struct {
	got     chan answer // of room for the one answer there is
	to      string      // the name as it was asked for
	names   []string
	octets  int
	refused bool // by a DnNack; the server's notice is still to come
}

// pose asks a question and waits for its answer, which nothing but the question
// makes welcome: without it, and after it, answers are thrown away.
func (p *Peer) pose(ctx context.Context, c *client.Client, command wire.Command, user, file string) (answer, error) {
	q, w := ask(user, file), &waiting{got: make(chan answer, 1), to: user}
	p.mu.Lock()
	if p.asked[q] != nil {
		p.mu.Unlock()
		return answer{}, fmt.Errorf("transfer: %s has been asked for that already", client.Safe([]byte(user)))
	}
	p.asked[q] = w
	p.mu.Unlock()
	defer p.settle(q, w, answer{})
	if err := c.File(command, user, file); err != nil {
		return answer{}, err
	}
	late := time.NewTimer(answerTimeout)
	defer late.Stop()
	select {
	case a := <-w.got:
		return a, a.err
	case <-late.C:
		return answer{}, fmt.Errorf("%w from %s in %v", ErrNoAnswer, client.Safe([]byte(user)), answerTimeout)
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	case <-p.ctx.Done():
		return answer{}, context.Canceled
	case <-c.Ended():
		return answer{}, fmt.Errorf("%w before %s had answered", client.ErrGone, client.Safe([]byte(user)))
	}
}

// settle gives an answer to w, if w still waits: a question has one answer.
func (p *Peer) settle(q question, w *waiting, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settleLocked(q, w, a)
}

func (p *Peer) settleLocked(q question, w *waiting, a answer) {
	if w != nil && p.asked[q] == w {
		delete(p.asked, q)
		w.got <- a
	}
}

// List asks what somebody shares.
func (p *Peer) List(ctx context.Context, c *client.Client, user string) ([]string, error) {
	a, err := p.pose(ctx, c, wire.LsReq, user, "")
	return a.names, err
}

// dial connects to a sharer.
func dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, "tcp", to.String())
}
