package readiness

// Write is one write of those that a BatchWriter does together.
type Write struct {
	FD   int
	Data []byte
	N    int   // octets that the kernel took
	Err  error // why it took no more, EAGAIN included, as a unix.Errno; nil: it was not told

	conn *conn
}

// BatchWriter is a Poller that also writes. The loop then hands over the writes of a flush
// together, in place of one send(2) for each client.
type BatchWriter interface {
	Poller
	// WriteAll does all writes without blocking and sets N and Err of each. No two are to
	// the same descriptor. Data stays as it is until WriteAll returns, and no longer. If it
	// cannot do its work, for which it sets neither, Wait fails from then on.
	WriteAll(writes []Write)
}

// offer has the next exchange write what waits for a client. Until then nothing else is
// done with the connection.
func (l *loop) offer(c *conn) {
	if p := l.next(c); p != nil {
		l.writes = append(l.writes, Write{FD: c.id.FD(), Data: p, conn: c})
	}
}

// exchange does the writes that were offered, and those that follow from them. What the
// room says meanwhile waits for the next flush: with it this one would go on for as long
// as others talk.
func (l *loop) exchange() {
	said := l.cfg.Room.Said()
	for len(l.writes) > 0 {
		l.batch.WriteAll(l.writes)
		done := l.writes
		l.writes = done[:0] // a write that follows takes the place of one that is handled
		for _, w := range done {
			switch c := w.conn; {
			case !l.wrote(c, len(w.Data), w.N, w.Err):
			case c.session.Due(said):
				l.offer(c)
			case c.paused:
				l.pauseOrResume(c) // Next may have worked through what waited
			}
		}
		clear(done[len(l.writes):])
	}
}
