package core

import (
	"errors"
	"fmt"
	"time"
)

// compare compares the states of the sessions with the model.
func (sim *simulation) compare() error {
	switch {
	case sim.late:
		return errors.New("the transport is woken for a client that has left")
	case sim.model.wrong != nil:
		return sim.model.wrong
	case uint64(sim.model.octets) != sim.room.Said():
		return fmt.Errorf("the room has said %d octets, the model %d", sim.room.Said(), sim.model.octets)
	}
	for _, c := range sim.clients {
		sim.endSlow(c)
		why, closing := c.session.Closing()
		if closing != c.over {
			return fmt.Errorf("client %d: closing %v (%v), the model says %v, it has left: %v", c.id, closing, why, c.over, c.gone)
		}
		if err := sim.waits(c); err != nil {
			return err
		}
		if err := sim.givenUp(c); err != nil {
			return err
		}
		most := sim.room.cfg.LagMax + int(sim.room.lagCheckEvery) + 1024 // and private frames
		if behind := sim.model.behind(c); !c.over && !c.gone && behind > most {
			return fmt.Errorf("client %d is %d octets behind and not ended", c.id, behind)
		}
	}
	return nil
}

// endSlow ends a client in the model that the room has ended as slow, if that was right.
func (sim *simulation) endSlow(c *simClient) {
	if why, closing := c.session.Closing(); !closing || why != ReasonSlow || c.over || c.gone {
		return
	}
	far := sim.room.behind(c.session) > sim.room.cfg.LagMax || sim.model.behind(c) > sim.room.cfg.LagMax
	if since := c.refusedSince; !far && (since.IsZero() || sim.lagNow.Sub(since) < sim.room.cfg.LagTime) {
		sim.model.wrong = fmt.Errorf("client %d ended as slow, %d octets behind, refusing since %v", c.id, sim.model.behind(c), since)
	}
	sim.model.end(c)
}

// waits checks whether the waiting input of a client has to wait.
func (sim *simulation) waits(c *simClient) error {
	s := c.session
	if c.over {
		return nil
	}
	if s.mayResume.Load() && !c.gone && !c.woken {
		return fmt.Errorf("client %d may go on and its transport is not woken", c.id)
	}
	if n := s.queued(); n > sim.room.cfg.queueLimit()+512 {
		return fmt.Errorf("client %d has %d private octets to take", c.id, n)
	}
	if s.in.heldFor == heldForFlood && !s.mayResume.Load() && sim.model.allowance(c) > 1 {
		return fmt.Errorf("client %d waits for flood control with an allowance of %v", c.id, sim.model.allowance(c))
	}
	if len(c.todo) > 0 && s.in.heldFor == notHeld {
		return fmt.Errorf("client %d: frames are left, and nothing holds them: %+v", c.id, c.todo)
	}
	return nil
}

// givenUp checks whether the output of a closing client was discarded, and had to be.
func (sim *simulation) givenUp(c *simClient) error {
	switch {
	case !c.over || c.discarded || c.gone:
		return nil
	case c.ended.IsZero():
		c.ended = sim.now
	}
	if !c.session.discarded {
		return nil
	}
	c.discarded = true
	slow := !c.refusedSince.IsZero() && sim.lagNow.Sub(c.refusedSince) >= sim.room.cfg.LagTime
	if kept := sim.model.kept(c); !slow && kept <= sim.room.cfg.LagMax && !sim.now.After(c.ended.Add(defaultFarewell)) {
		return fmt.Errorf("client %d was given up %v after its end, %d octets kept", c.id, sim.now.Sub(c.ended), kept)
	}
	return nil
}

// finish lets time pass, writes all output, and checks that nothing is left: all waiting
// input must have been processed.
func (sim *simulation) finish() error {
	for waits := true; waits; {
		waits = false
		sim.pass(time.Second)
		for _, c := range sim.live() {
			for p := c.session.Next(); p != nil; p = c.session.Next() {
				sim.model.work(c)
				sim.took(c, p, len(p))
			}
			sim.model.work(c)
			waits = waits || !c.over && c.answer == nil && len(c.todo) > 0
		}
		if err := sim.compare(); err != nil {
			return err
		}
		if sim.now.Sub(time.Unix(1e9, 0)) > 24*time.Hour {
			return errors.New("somebody waits for ever")
		}
	}
	for _, c := range sim.live() {
		for p := c.session.Next(); p != nil; p = c.session.Next() {
			sim.took(c, p, len(p))
		}
		if err := sim.model.check(c, !c.discarded); err != nil {
			return err
		}
		sim.leave(c)
	}
	for _, c := range sim.clients {
		if c.answer != nil {
			sim.answer(c)
		}
	}
	for range 12 {
		sim.pass(time.Second)
	}
	if err := sim.compare(); err != nil {
		return err
	}
	r := sim.room
	st := r.Snapshot()
	var ends uint64
	for _, n := range st.Ends {
		ends += n
	}
	r.log.reclaim()
	switch {
	case ends != uint64(sim.joined):
		return fmt.Errorf("%d clients joined, %d ends are counted", sim.joined, ends)
	case st.Clients+st.Pending+st.Granted+r.ending.n+r.discarded.n+len(r.names)+len(r.wakers) != 0:
		return fmt.Errorf("an empty room still holds %+v, names %v", st, r.names)
	case len(r.refusing)+len(r.flooding)+len(r.leaving) != 0:
		return fmt.Errorf("an empty room still watches %d, %d and %d", len(r.refusing), len(r.flooding), len(r.leaving))
	case r.log.first != r.log.last || r.log.last.readers.Load() != 0:
		return fmt.Errorf("the log still has readers")
	}
	return nil
}
