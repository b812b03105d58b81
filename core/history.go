package core

import (
	"bytes"
	"time"

	"chatbench/core/wire"
)

// historyOctets bounds what a newcomer is told of what was said before, so that it
// fills no more than half of its private queue at the default LagLimit.
const historyOctets = 32 << 10

// aroundLine is how many octets of the notice of a line stand around its text, at most.
const aroundLine = len("\x00" + wire.ServerName + ": earlier, 2006-01-02 15:04 UTC, \x00")

// Line is something that a client said to the room.
type Line struct {
	At   time.Time
	Text []byte // "name: text", made safe, without NUL
}

// history is the last lines that were said: a ring, of which the oldest is written
// over. The room's lock guards it.
type history struct {
	lines []Line
	said  uint64 // how many were ever said; the next goes to lines[said % len]
}

// newHistory makes one that keeps n lines; the last of before are in it.
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

// keep keeps the last lines of so many Chat frames of clients, which are whole, and were
// said at a time. Notices among them are left out. The room has a history.
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

// oldest is the first line that is still there.
func (h *history) oldest() uint64 { return h.said - min(h.said, uint64(len(h.lines))) }

// since calls do with each line from the nth on that is still there, oldest first.
func (h *history) since(n uint64, do func(Line)) {
	for i := max(n, h.oldest()); i < h.said; i++ {
		do(h.lines[i%uint64(len(h.lines))])
	}
}

// fitting is the first of the last lines whose notices together have at most so many
// octets.
func (h *history) fitting(octets int) uint64 {
	n := h.said
	for ; n > h.oldest(); n-- {
		octets -= aroundLine + len(h.lines[(n-1)%uint64(len(h.lines))].Text)
		if octets < 0 {
			break
		}
	}
	return n
}

// tellHistory tells a newcomer what was said before it came: as notices with the
// time, so that no program takes them for what is said now. The day is there as well
// if a time alone could be of another one.
func (r *Room) tellHistory(s *Session) {
	if r.history.said == 0 || len(r.history.lines) == 0 {
		return
	}
	var frames []byte
	now := r.now()
	r.history.since(r.history.fitting(historyOctets), func(line Line) {
		form := "15:04 UTC, "
		if now.Sub(line.At).Abs() >= 24*time.Hour { // or it was said while the clock was wrong
			form = "2006-01-02 " + form
		}
		frames = wire.AppendNotice(frames, "earlier, "+line.At.UTC().Format(form)+string(line.Text))
	})
	r.post(s, frames)
}

// HistorySince gives the lines that were said from the nth on, counted from 0 since
// the room was made, Config.Before among them, as far as they are kept; and how many
// have been said by now, for the next call.
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
