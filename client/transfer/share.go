package transfer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"chatbench/client"
	"chatbench/core/wire"
)

// request is what somebody asks us for.
type request struct {
	client  *client.Client // to send the answer
	command wire.Command
	from    string
	file    string
}

// answer is the goroutine that answers requests.
func (p *Peer) answer() {
	for {
		select {
		case r := <-p.requests:
			if r.command == wire.LsReq {
				p.list(r)
			} else if err := p.offer(r); err != nil {
				r.client.File(wire.DnNack, r.from, r.file)
			}
		case <-p.ctx.Done():
			return
		}
	}
}

// list answers with the names of the shared files, or none if the directory cannot be
// read.
func (p *Peer) list(r request) {
	var names []string
	if p.o.Share != nil {
		var err error
		if names, _, err = p.o.Share.List(); err != nil {
			p.o.Tell(err.Error())
		}
	}
	r.client.List(r.from, names)
}

var (
	errNothingShared = errors.New("transfer: nothing is shared")
	errTooMany       = errors.New("transfer: too many files are being sent")
)

// offer opens a file and a listener, and tells the requester where to connect. It
// starts a goroutine that sends the file.
func (p *Peer) offer(r request) (err error) {
	if p.o.Share == nil {
		return errNothingShared
	}
	free, ok := p.slots.take(r.from)
	if !ok {
		return errTooMany
	}
	s := &sending{from: r.from, file: r.file, free: free, legacy: p.o.Legacy, digests: &p.digests}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.data, _, err = p.o.Share.Open(r.file); err != nil {
		return err
	}
	advertised, listenAddr := p.o.Address, p.listenAddr
	if !advertised.IsValid() {
		advertised = r.client.LocalAddr()
		listenAddr = advertised
	}
	if s.listener, err = p.o.Ports.listen(listenAddr); err != nil {
		p.o.Tell(fmt.Sprintf("cannot share %s: %v", client.Safe([]byte(r.file)), err))
		return err
	}
	at := s.listener.Addr().(*net.TCPAddr).AddrPort()
	ack := wire.Ack{Name: []byte(r.from), File: []byte(r.file), Addr: advertised, Port: at.Port()}
	if !p.o.Legacy {
		ack.Token = newToken()
		s.token = ack.Token
	}
	if err := r.client.Ack(ack); err != nil {
		return err
	}
	p.work.Go(func() { p.send(s) })
	return nil
}

// send waits for the requester, sends the file and tells the user the result.
func (p *Peer) send(s *sending) {
	defer s.close()
	what := fmt.Sprintf("%s to %s", client.Safe([]byte(s.file)), client.Safe([]byte(s.from)))
	err := s.run(p.ctx)
	switch {
	case err == nil:
		p.o.Tell("sent " + what)
	case p.ctx.Err() == nil:
		p.o.Tell(fmt.Sprintf("sending %s broke off: %v", what, client.Cause(err)))
	}
}

// newToken makes a random token.
func newToken() []byte {
	var secret [wire.TokenSize / 2]byte
	rand.Read(secret[:])
	return hex.AppendEncode(nil, secret[:])
}

// sending is one file that is offered and then sent.
type sending struct {
	from, file string
	token      []byte
	legacy     bool
	listener   *net.TCPListener
	data       *os.File
	version    version // of data when sending began
	free       func()
	digests    *digests
}

func (s *sending) close() {
	if s.listener != nil {
		s.listener.Close()
	}
	if s.data != nil {
		s.data.Close()
	}
	s.free()
}

func (s *sending) run(ctx context.Context) error {
	conn, wanted, err := s.accept(ctx)
	s.listener.Close()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if s.legacy {
		err = sendUnchecked(conn, s.data)
	} else {
		err = s.sendChecked(ctx, conn, wanted)
	}
	if err != nil {
		return err
	}
	if err = awaitClose(conn, s.free); err != nil {
		s.digests.forget(s.version) // perhaps the receiver found the checksum wrong
	}
	return err
}

// slots counts the files being sent, in all and by requester.
type slots struct {
	mu   sync.Mutex
	all  int
	each map[string]int // by requester
}

// take takes a slot for a requester, if there is one. free gives it back; later calls
// of it do nothing.
func (s *slots) take(from string) (free func(), ok bool) {
	from = fold(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxSends || s.each[from] >= maxSendsPerUser {
		return nil, false
	}
	s.all++
	s.each[from]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.each[from]--; s.each[from] == 0 {
			delete(s.each, from)
		}
	}), true
}
