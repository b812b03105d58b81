// Package transfer transfers files from client to client. It answers requests for
// shared files, requests files that others share, and sends the data over a connection
// of its own, whose format is in core/wire/PROTOCOL.md.
//
// It connects only where it has asked for a file, sends only to those who show the
// token (unless Legacy is set), and lets nobody hold more than a few listeners,
// descriptors or buffers. It uses directories only through packages share and
// downloads.
//
// Set a Peer as Files of client.Config. It outlives connections to the server;
// transfers that have begun go on without one. It has one goroutine that answers
// requests, and one for each file being sent. List and Fetch run in the caller's
// goroutine and may be called from any.
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
	// answerTimeout is how long to wait for the answer to a request.
	answerTimeout = 30 * time.Second
	// dialTimeout bounds connecting to a sharer, which waits 10 s.
	dialTimeout = 10 * time.Second
	// fetchTimeout is how long an offered file waits for its requester.
	fetchTimeout = 10 * time.Second
	// stallTimeout is how long a connection may bring nothing.
	stallTimeout = 10 * time.Second
	// noticeTimeout is how long to wait, after a refusal, for the server's notice.
	noticeTimeout = 2 * time.Second

	maxSends          = 4  // files offered or sent at once
	maxSendsPerUser   = 2  // of those, to one requester
	maxFetchesPerUser = 2  // files downloaded at once from one sharer, which sends no more
	maxQueuedRequests = 64 // requests of others that wait for an answer
)

// Why a file or a list did not come. For the first two, the server has sent a notice,
// which is among the client's Events.
var (
	ErrNoUser   = errors.New("transfer: no such user")
	ErrNotFound = errors.New("transfer: file not found")
	ErrRefused  = errors.New("transfer: refused, without a reason")
	ErrNoAnswer = errors.New("transfer: no answer")
	ErrNoToken  = errors.New("transfer: the sharer uses no tokens")
)

// Options configures a Peer.
type Options struct {
	Share     *share.Dir     // nil: nothing is shared
	Downloads *downloads.Dir // nil: nothing can be downloaded
	Ports     Ports          // to share on; zero: any
	Legacy    bool           // no tokens and no checksums, for clients that know neither
	// Address is what downloaders are told to connect to, if the server passes it on
	// (chatd -p2p-advertise claimed). The Peer listens on it alone if this machine has it
	// when the Peer is made, otherwise on all addresses of its family. Zero: this side's
	// address of the connection to the server, for both.
	Address netip.Addr
	// Tell shows the user a message about a file that others download. It is called from
	// any goroutine, and may be nil.
	Tell func(text string)
}

// Peer is our side of all transfers.
type Peer struct {
	o          Options
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	work       sync.WaitGroup
	requests   chan request
	slots      slots
	digests    digests
	listenAddr netip.Addr // where to listen if Options.Address is set
	dial       func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

	mu         sync.Mutex
	pending    map[requestKey]*pendingRequest
	semaphores map[string]chan struct{} // by sharer; each bounds the downloads from it
}

// New starts a Peer. Close ends it.
func New(o Options) *Peer {
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	p := &Peer{
		o: o, requests: make(chan request, maxQueuedRequests), dial: dial,
		pending: make(map[requestKey]*pendingRequest), semaphores: make(map[string]chan struct{}),
		slots: slots{each: make(map[string]int)},
	}
	if o.Address.IsValid() {
		p.listenAddr = listenFor(o.Address)
	}
	if p.listenAddr != o.Address && o.Share != nil {
		o.Tell(fmt.Sprintf("%s is not an address of this machine: files are offered on all of its addresses", o.Address))
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.work.Go(p.answer)
	return p
}

// Close ends all files being sent and waits for their goroutines. Downloads end with
// their contexts, or with an error.
func (p *Peer) Close() {
	p.cancel()
	p.work.Wait()
}

// requestKey identifies a request of ours: the user, in the form in which names are
// compared, and the file, in NFC; file is empty for a list.
type requestKey struct{ user, file string }

func keyFor(user, file string) requestKey {
	return requestKey{fold(user), norm.NFC.String(file)}
}

// fold converts a name to the form in which the server compares names.
func fold(name string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(name)))
}

// answer is the answer to a request: a list, or where the file is, or an error.
type answer struct {
	names []string
	ack   wire.Ack
	err   error
}

// pendingRequest is a request of ours that waits for its answer.
type pendingRequest struct {
	answer  chan answer // with room for its only answer
	to      string      // the user's name as it was typed
	names   []string
	octets  int
	refused bool // a DnNack has come; the server's notice has not
}

// ask sends a request and waits for its answer. Answers to no pending request are
// ignored.
func (p *Peer) ask(ctx context.Context, c *client.Client, command wire.Command, user, file string) (answer, error) {
	q, w := keyFor(user, file), &pendingRequest{answer: make(chan answer, 1), to: user}
	p.mu.Lock()
	if p.pending[q] != nil {
		p.mu.Unlock()
		return answer{}, fmt.Errorf("transfer: the same request to %s is already under way", client.Safe([]byte(user)))
	}
	p.pending[q] = w
	p.mu.Unlock()
	defer p.resolve(q, w, answer{})
	if err := c.File(command, user, file); err != nil {
		return answer{}, err
	}
	late := time.NewTimer(answerTimeout)
	defer late.Stop()
	select {
	case a := <-w.answer:
		return a, a.err
	case <-late.C:
		return answer{}, fmt.Errorf("%w from %s in %v", ErrNoAnswer, client.Safe([]byte(user)), answerTimeout)
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	case <-p.ctx.Done():
		return answer{}, context.Canceled
	case <-c.Ended():
		return answer{}, fmt.Errorf("%w before %s answered", client.ErrGone, client.Safe([]byte(user)))
	}
}

// resolve passes an answer to w, if w is still pending: a request has one answer.
func (p *Peer) resolve(q requestKey, w *pendingRequest, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resolveLocked(q, w, a)
}

func (p *Peer) resolveLocked(q requestKey, w *pendingRequest, a answer) {
	if w != nil && p.pending[q] == w {
		delete(p.pending, q)
		w.answer <- a
	}
}

// List asks a user for the names of the files that they share.
func (p *Peer) List(ctx context.Context, c *client.Client, user string) ([]string, error) {
	a, err := p.ask(ctx, c, wire.LsReq, user, "")
	return a.names, err
}

// dial connects to a sharer.
func dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, "tcp", to.String())
}
