package core

import (
	"sync/atomic"

	"chatbench/core/wire"
)

// Forward is a File frame, and perhaps a notice after it, for a client that is not on
// this server. Its sender's input waits until it is answered, so that frames to one
// addressee keep their order and nobody sends faster than they are taken.
type Forward struct {
	To     string // the addressee, as names are compared; maybe nobody
	Frames []byte // what it is to be given

	name    string // the addressee as the sender may be told of it
	session *Session
	waits   atomic.Bool // for its answer
}

// Outcome is what came of a Forward.
type Outcome uint8

const (
	Forwarded   Outcome = iota // the addressee is given the frames
	NoSuchUser                 // nobody of that name is in the room
	Busy                       // the addressee has frames enough to take: Forward is called again with the next Tick
	Unavailable                // the addressee's server cannot be reached, or has not answered: nobody knows
)

// Answer says what came of it. It is to be called exactly once for each call of
// Cluster.Forward; one more panics.
func (f *Forward) Answer(o Outcome) {
	if !f.waits.Swap(false) {
		panic("core: a Forward was answered twice")
	}
	s, r := f.session, f.session.room
	r.mu.Lock()
	defer r.unlock()
	switch o {
	case Busy:
		if s.closing.Load() == 0 {
			r.again = append(r.again, f)
			r.stats.QueueWaits++
			return
		}
	case NoSuchUser:
		r.notice(s, noSuchUser+f.name)
	case Unavailable:
		r.notice(s, f.name+" is temporarily unavailable: try again")
	}
	r.letResume(s)
}

// forwardAgain asks again about those whose addressees were busy. The room's lock is
// not held.
func (r *Room) forwardAgain() {
	if r.cfg.Cluster == nil {
		return
	}
	r.mu.Lock()
	again := r.again
	r.again = nil
	r.mu.Unlock()
	for _, f := range again {
		f.send()
	}
}

func (f *Forward) send() {
	f.waits.Store(true)
	f.session.room.cfg.Cluster.Forward(f)
}

// TakeForward gives a client of this server the frames that a Forward on another one
// has for it. to is Forward.To. Frames that no server sends are not given: then it is
// as if there were no such user.
func (r *Room) TakeForward(to string, frames []byte) Outcome {
	if !wholeForward(frames) {
		return NoSuchUser
	}
	r.mu.Lock()
	defer r.unlock()
	s := r.names[to]
	switch {
	case s == nil:
		return NoSuchUser
	case r.full(s) && r.staysFull(s):
		return Busy
	}
	r.stats.Relayed++
	r.post(s, frames)
	return Forwarded
}

// wholeForward says whether frames are a File frame, and perhaps Chat frames after it.
func wholeForward(frames []byte) bool {
	d := wire.Decoder{Max: wire.MaxFromServer}
	want := wire.File
	for {
		f, rest, ok, err := d.Next(frames)
		if err != nil || !ok || f.Type != want {
			return false
		}
		if len(rest) == 0 {
			return true
		}
		frames, want = rest, wire.Chat
	}
}
