package readiness

// catchUp is called after each step of input. It writes to the clients if much
// has been said since the loop last did, and lets other loops do the same.
func (l *loop) catchUp() {
	if l.read > turnOctets || l.member.Behind(l.cfg.Room.Said()) {
		l.flush()
	}
	l.member.Pace(l)
}

// HasOutput says whether there is anything to flush.
func (l *loop) HasOutput() bool { return l.member.Grew() || l.hasMail() }

// Flush is for loopgroup.Loop, as is HasOutput.
func (l *loop) Flush() { l.flush() }

// Cutting is for loopgroup.Loop too.
func (l *loop) Cutting() bool { return l.cutting.Load() }
