package readiness

// Write is one of the writes that a BatchWriter does together.
type Write struct {
	FD   int
	Data []byte
	N    int   // octets that the kernel took
	Err  error // why it took no more, EAGAIN included, as a unix.Errno; nil: not known

	conn *conn
}

// BatchWriter is a Poller that also writes. The loop then hands it the writes of a flush
// together, instead of calling send(2) once for each client.
type BatchWriter interface {
	Poller
	// WriteAll does all writes without blocking and sets N and Err of each. No two have the
	// same descriptor. Data does not change until WriteAll returns, but may change after it. If
	// WriteAll cannot work at all it sets neither, and Wait fails from then on.
	WriteAll(writes []Write)
}

// queueWrite makes the next writeQueued write what waits for a client. Until then nothing else
// may be done with the connection.
func (l *loop) queueWrite(c *conn) {
	if p := l.next(c); p != nil {
		l.writes = append(l.writes, Write{FD: c.id.FD(), Data: p, conn: c})
	}
}

// writeQueued does the queued writes, and those that follow from them. Messages that are said
// meanwhile wait for the next flush: otherwise this one could last for as long as anybody
// talks.
func (l *loop) writeQueued() {
	said := l.cfg.Room.Said()
	for len(l.writes) > 0 {
		l.batch.WriteAll(l.writes)
		done := l.writes
		l.writes = done[:0] // a write that follows takes the place of one that is handled
		for _, w := range done {
			switch c := w.conn; {
			case !l.wrote(c, len(w.Data), w.N, w.Err):
			case c.session.Due(said):
				l.queueWrite(c)
			case c.paused:
				l.pauseOrResume(c) // Next may have fed the input that waited
			}
		}
		clear(done[len(l.writes):])
	}
}
