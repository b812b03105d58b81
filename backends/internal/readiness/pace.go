package readiness

// catchUp is called after each step of input. It flushes if much was said since the last flush, and
// waits if other loops have to do so.
func (l *loop) catchUp() {
	if l.read > turnOctets || l.member.Behind(l.cfg.Room.Said()) {
		l.flush()
	}
	l.member.Pace(l)
}

// HasOutput implements loopgroup.Loop.
func (l *loop) HasOutput() bool { return l.member.Grew() || l.hasWakes() }

// Flush implements loopgroup.Loop.
func (l *loop) Flush() { l.flush() }

// Cutting implements loopgroup.Loop.
func (l *loop) Cutting() bool { return l.cutting.Load() }
