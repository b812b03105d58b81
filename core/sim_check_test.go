package core

import (
	"errors"
	"fmt"
	"time"
)

// compare holds the states of the sessions against the model.
func (w *world) compare() error {
	switch {
	case w.late:
		return errors.New("the transport is woken for a client that has left")
	case w.model.wrong != nil:
		return w.model.wrong
	case uint64(w.model.octets) != w.room.Said():
		return fmt.Errorf("the room has said %d octets, the model %d", w.room.Said(), w.model.octets)
	}
	for _, c := range w.clients {
		w.endSlow(c)
		why, closing := c.session.Closing()
		if closing != c.over {
			return fmt.Errorf("client %d: closing %v (%v), the model says %v, it has left: %v", c.id, closing, why, c.over, c.gone)
		}
		if err := w.waits(c); err != nil {
			return err
		}
		if err := w.givenUp(c); err != nil {
			return err
		}
		most := w.room.cfg.LagMax + int(w.room.lookEvery) + 1024 // and private frames
		if behind := w.model.behind(c); !c.over && !c.gone && behind > most {
			return fmt.Errorf("client %d is %d octets behind and not ended", c.id, behind)
		}
	}
	return nil
}

// endSlow tells the model of a client that was ended as slow, if it had to be.
func (w *world) endSlow(c *simClient) {
	if why, closing := c.session.Closing(); !closing || why != ReasonSlow || c.over || c.gone {
		return
	}
	far := w.room.behind(c.session) > w.room.cfg.LagMax || w.model.behind(c) > w.room.cfg.LagMax
	if since := c.refusedSince; !far && (since.IsZero() || w.lagNow.Sub(since) < w.room.cfg.LagTime) {
		w.model.wrong = fmt.Errorf("client %d ended as slow, %d octets behind, refusing since %v", c.id, w.model.behind(c), since)
	}
	w.model.end(c)
}

// waits looks whether what waits of a client's input has to.
func (w *world) waits(c *simClient) error {
	s := c.session
	if c.over {
		return nil
	}
	if s.mayResume.Load() && !c.gone && !c.woken {
		return fmt.Errorf("client %d may go on and its transport is not woken", c.id)
	}
	if n := s.queued(); n > w.room.cfg.queueLimit()+512 {
		return fmt.Errorf("client %d has %d private octets to take", c.id, n)
	}
	if s.in.hold == forFlood && !s.mayResume.Load() && w.model.allowance(c) > 1 {
		return fmt.Errorf("client %d waits for flood control with an allowance of %v", c.id, w.model.allowance(c))
	}
	if len(c.todo) > 0 && s.in.hold == notHeld {
		return fmt.Errorf("client %d: frames are left, and nothing holds them: %+v", c.id, c.todo)
	}
	return nil
}

// givenUp looks whether a client that is ending was given up, and had to be.
func (w *world) givenUp(c *simClient) error {
	switch {
	case !c.over || c.silent || c.gone:
		return nil
	case c.ended.IsZero():
		c.ended = w.now
	}
	if !c.session.silent {
		return nil
	}
	c.silent = true
	slow := !c.refusedSince.IsZero() && w.lagNow.Sub(c.refusedSince) >= w.room.cfg.LagTime
	if kept := w.model.kept(c); !slow && kept <= w.room.cfg.LagMax && !w.now.After(c.ended.Add(defaultFarewell)) {
		return fmt.Errorf("client %d was given up %v after its end, %d octets kept", c.id, w.now.Sub(c.ended), kept)
	}
	return nil
}

// finish gives everybody time, writes everything out, and looks that nothing is
// left: whatever waited is worked through.
func (w *world) finish() error {
	for waits := true; waits; {
		waits = false
		w.pass(time.Second)
		for _, c := range w.live() {
			for p := c.session.Next(); p != nil; p = c.session.Next() {
				w.model.work(c)
				w.took(c, p, len(p))
			}
			w.model.work(c)
			waits = waits || !c.over && c.answer == nil && len(c.todo) > 0
		}
		if err := w.compare(); err != nil {
			return err
		}
		if w.now.Sub(time.Unix(1e9, 0)) > 24*time.Hour {
			return errors.New("somebody waits for ever")
		}
	}
	for _, c := range w.live() {
		for p := c.session.Next(); p != nil; p = c.session.Next() {
			w.took(c, p, len(p))
		}
		if err := w.model.check(c, !c.silent); err != nil {
			return err
		}
		w.leave(c)
	}
	for _, c := range w.clients {
		if c.answer != nil {
			w.answer(c)
		}
	}
	for range 12 {
		w.pass(time.Second)
	}
	if err := w.compare(); err != nil {
		return err
	}
	r := w.room
	st := r.Snapshot()
	var ends uint64
	for _, n := range st.Ends {
		ends += n
	}
	r.log.reclaim()
	switch {
	case ends != uint64(w.joined):
		return fmt.Errorf("%d clients joined, %d ends are counted", w.joined, ends)
	case st.Clients+st.Pending+st.Granted+r.ending.n+r.silent.n+len(r.names)+len(r.wakers) != 0:
		return fmt.Errorf("an empty room still holds %+v, names %v", st, r.names)
	case len(r.refusing)+len(r.flooding)+len(r.parting) != 0:
		return fmt.Errorf("an empty room still watches %d, %d and %d", len(r.refusing), len(r.flooding), len(r.parting))
	case r.log.first != r.log.last || r.log.last.readers.Load() != 0:
		return fmt.Errorf("the log still has readers")
	}
	return nil
}
