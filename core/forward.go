package core

import (
	"sync/atomic"

	"chatbench/core/wire"
)

// Forward is a File frame, and perhaps a notice after it, for a client that is not on
// this server. The input of the sender waits until it is answered. So frames to one
// addressee keep their order, and are not sent faster than they are received.
type Forward struct {
	To     string // the folded name of the addressee; there may be no such client
	Frames []byte // the frames for it

	name    string // the name of the addressee, made safe, for notices to the sender
	session *Session
	waits   atomic.Bool // for its answer
}

// Outcome is the result of a Forward.
type Outcome uint8

const (
	Forwarded   Outcome = iota // the frames are queued for the addressee
	NoSuchUser                 // nobody of that name is in the room
	Busy                       // the queue of the addressee is full: Forward is called again with the next Tick
	Unavailable                // the addressee's server cannot be reached, or has not answered: the result is unknown
)

// Answer sets the outcome. It must be called exactly once for each call of
// Cluster.Forward; another call panics.
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
			r.busyForwards = append(r.busyForwards, f)
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

// retryForwards sends the Forwards again whose addressees were busy. The room's lock is
// not held.
func (r *Room) retryForwards() {
	if r.cfg.Cluster == nil {
		return
	}
	r.mu.Lock()
	busy := r.busyForwards
	r.busyForwards = nil
	r.mu.Unlock()
	for _, f := range busy {
		f.send()
	}
}

func (f *Forward) send() {
	f.waits.Store(true)
	f.session.room.cfg.Cluster.Forward(f)
}

// TakeForward queues the frames of a Forward of another server for a client of this
// server. to is Forward.To. It rejects frames that no server sends, with NoSuchUser.
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
