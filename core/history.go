package core

import (
	"bytes"
	"time"

	"chatbench/core/wire"
)

// historyOctets bounds the history that a new client is sent, so that it fills no more
// than half of its private queue at the default LagLimit.
const historyOctets = 32 << 10

// lineOverhead is how many octets the notice with a line has besides its text, at most.
const lineOverhead = len("\x00" + wire.ServerName + ": earlier, 2006-01-02 15:04 UTC, \x00")

// Line is something that a client said to the room.
type Line struct {
	At   time.Time
	Text []byte // "name: text", made safe, without NUL
}

// history is a ring buffer of the last lines. The room's lock guards it.
type history struct {
	lines []Line
	said  uint64 // how many lines were ever said; the next one goes to lines[said % len]
}

// newHistory makes a history of n lines, which begins with the last of before.
func newHistory(n int, before []Line) history {
	h := history{lines: make([]Line, n)}
	for _, line := range before[max(0, len(before)-n):] {
		h.add(line.At, line.Text)
	}
	return h
}

func (h *history) add(at time.Time, text []byte) {
	slot := &h.lines[h.said%uint64(len(h.lines))]
	slot.At, slot.Text = at, append(slot.Text[:0], text...)
	h.said++
}

// keep adds whole Chat frames, said at the same time, to the history. messages is how many
// of them are of clients; notices are left out. The room must have a history.
func (r *Room) keep(frames []byte, messages int, at time.Time) {
	h := &r.history
	for skip := messages - len(h.lines); len(frames) > 0; {
		end := 1 + bytes.IndexByte(frames[1:], 0)
		switch {
		case bytes.HasPrefix(frames, noticePrefix):
		case skip > 0:
			h.said++
			skip--
		default:
			h.add(at, frames[1:end])
		}
		frames = frames[end+1:]
	}
}

// oldest is the number of the first line that is still kept.
func (h *history) oldest() uint64 { return h.said - min(h.said, uint64(len(h.lines))) }

// since calls do with each kept line from the nth on, oldest first.
func (h *history) since(n uint64, do func(Line)) {
	for i := max(n, h.oldest()); i < h.said; i++ {
		do(h.lines[i%uint64(len(h.lines))])
	}
}

// fitting is the number of the first line such that the notices of it and all later lines
// have at most so many octets together.
func (h *history) fitting(octets int) uint64 {
	n := h.said
	for ; n > h.oldest(); n-- {
		octets -= lineOverhead + len(h.lines[(n-1)%uint64(len(h.lines))].Text)
		if octets < 0 {
			break
		}
	}
	return n
}

// tellHistory sends a new client what was said before: as notices with the time, so
// that no program takes them for new messages. If a line is more than a day old, the
// notice has its date too.
func (r *Room) tellHistory(s *Session) {
	if r.history.said == 0 || len(r.history.lines) == 0 {
		return
	}
	var frames []byte
	now := r.now()
	r.history.since(r.history.fitting(historyOctets), func(line Line) {
		form := "15:04 UTC, "
		if now.Sub(line.At).Abs() >= 24*time.Hour { // Abs: the clock may have been wrong then
			form = "2006-01-02 " + form
		}
		frames = wire.AppendNotice(frames, "earlier, "+line.At.UTC().Format(form)+string(line.Text))
	})
	r.post(s, frames)
}

// HistorySince returns the kept lines from the nth on, and how many lines have been said
// by now, which is n of the next call. Lines are counted from 0; those of Config.Before
// count too.
func (r *Room) HistorySince(n uint64) (lines []Line, said uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.history.lines) > 0 {
		r.history.since(n, func(line Line) {
			lines = append(lines, Line{line.At, bytes.Clone(line.Text)})
		})
	}
	return lines, r.history.said
}

// now is the time of the last Tick.
func (r *Room) now() time.Time { return r.began.Add(time.Duration(r.clock.Load() - 1)) }
