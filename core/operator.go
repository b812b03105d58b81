package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"chatbench/core/wire"
)

// User is a client in the room, as its operator sees it.
type User struct {
	Name   string         `json:"name"`
	Folded string         `json:"-"` // the name as it is compared
	Peer   netip.AddrPort `json:"peer"`
	Since  time.Time      `json:"since"`
	// Behind is how many octets of the log are not written to the client yet.
	Behind uint64 `json:"behind_bytes"`
	// Held says that input of the client waits.
	Held bool `json:"held,omitempty"`
}

// Users is everybody in the room, by name.
func (r *Room) Users() []User {
	r.mu.Lock()
	users := make([]User, 0, r.granted.n)
	end := r.log.end.Load()
	for s := r.granted.first; s != nil; s = s.next {
		u := User{Name: s.name, Folded: s.folded, Peer: s.peer, Since: r.began.Add(time.Duration(s.deadline - 1)), Held: s.held.Load()}
		if at := s.position.Load(); at < end {
			u.Behind = end - at
		}
		users = append(users, u)
	}
	r.mu.Unlock()
	slices.SortFunc(users, func(a, b User) int { return strings.Compare(a.Folded, b.Folded) })
	return users
}

// Kick ends the sessions of the users in the room for whom which is true, and returns
// how many. Each is sent all that was said until then, and why. which is called under
// the room's lock, and must not call the room.
func (r *Room) Kick(which func(User) bool, why string) (kicked int) {
	r.mu.Lock()
	defer r.unlock()
	return r.kick(which, why)
}

// everybody is for Kick.
func everybody(User) bool { return true }

// kick is Kick for callers that hold the lock.
func (r *Room) kick(which func(User) bool, why string) (kicked int) {
	var out []*Session
	for s := r.granted.first; s != nil; s = s.next {
		if which(User{Name: s.name, Folded: s.folded, Peer: s.peer}) {
			out = append(out, s)
		}
	}
	for _, s := range out {
		if s.closing.Load() == 0 { // announcing one can end another
			r.end(s, ReasonKicked, wire.AppendClose(wire.AppendNotice(nil, why)))
			kicked++
		}
	}
	return kicked
}

// Tell sends everybody in the room, on all its servers, a notice of the operator. The text
// is made safe, and cut to 4,000 octets.
func (r *Room) Tell(text string) {
	notice := wire.AppendNotice(nil, noticeText(text))
	r.mu.Lock()
	defer r.unlock()
	if r.granted.n > 0 || r.cfg.Cluster != nil {
		r.sayEverywhere(notice)
	}
}

// noticeText is a text made fit for a notice.
func noticeText(text string) string {
	text = string(wire.AppendSafe(nil, []byte(strings.ReplaceAll(text, "\x00", ""))))
	return strings.ToValidUTF8(text[:min(len(text), 4000)], "")
}

// whoCommand is a text that is not said to the room: the answer to it is who is in the room.
const whoCommand = "/who"

// whoOctets bounds the answer.
const whoOctets = 4000

// who sends a client the names in the room. It returns false if that has to wait,
// because the client's own queue is full.
func (s *Session) who() bool {
	r := s.room
	r.mu.Lock()
	defer r.unlock()
	if s.state != StateGrant {
		return true
	}
	if r.full(s) && r.waitFor(s, s) {
		return false
	}
	var names []string
	octets := 0
	for one := r.granted.first; one != nil && octets+len(one.name)+2 <= whoOctets; one = one.next {
		names = append(names, one.name)
		octets += len(one.name) + 2
	}
	remote, n := r.remoteNames(whoOctets - octets)
	n += r.granted.n
	names = append(names, remote...)
	slices.Sort(names)
	text := fmt.Sprintf("%d here: %s", n, strings.Join(names, ", "))
	if more := n - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	r.notice(s, text)
	s.spend(requestCost + privateOctetCost*len(text))
	return true
}
