package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"chatbench/core/wire"
)

const (
	// announceEvery is the time between two announcements. One line announces all
	// who joined in between. With a line for each, a thousand clients that log in at
	// once would cause a million lines.
	announceEvery = time.Second
	// namesAnnounced is how many names one line has at most.
	namesAnnounced = 20
)

// announcements is who has joined and left since the last announcement.
type announcements struct {
	joined, left []string
	next         int64 // by Room.clock: when the next announcement is allowed
}

// announceJoin announces that a client has joined, now or together with the others
// of this second. If the client has left before and that is not announced yet,
// neither is announced.
func (r *Room) announceJoin(name string) {
	if !takeOut(&r.news.left, name) {
		r.news.joined = append(r.news.joined, name)
	}
	r.announceDue()
}

// announceLeave is announceJoin for a client that has left.
func (r *Room) announceLeave(name string) {
	if !takeOut(&r.news.joined, name) {
		r.news.left = append(r.news.left, name)
	}
	r.announceDue()
}

// AnnounceLeft announces to the room, on all its servers, that a client of another server
// has left, for a server that has died and cannot announce it itself.
func (r *Room) AnnounceLeft(name string) {
	r.mu.Lock()
	defer r.unlock()
	r.announceLeave(name)
}

// takeOut removes a name from a list, and says whether it was there.
func takeOut(names *[]string, name string) bool {
	i := slices.Index(*names, name)
	if i >= 0 {
		*names = slices.Delete(*names, i, i+1)
	}
	return i >= 0
}

// announceDue announces who has joined and left, if it is time, or if more have left
// than there are places.
func (r *Room) announceDue() {
	news := &r.news
	if len(news.joined)+len(news.left) == 0 {
		return
	}
	if !r.cfg.Announce || r.cfg.Cluster == nil && (r.draining || r.granted.n == 0) { // nobody hears it
		news.joined, news.left = nil, nil
		return
	}
	if r.clock.Load() < news.next && len(news.left) < r.cfg.MaxClients {
		return
	}
	news.next = r.in(announceEvery)
	joined, left := news.joined, news.left
	news.joined, news.left = nil, nil // the announcement can end a slow client, which then has left
	if len(joined) > 0 {
		r.sayEverywhere(wire.AppendNotice(nil, announcement(joined, "joined")))
	}
	if len(left) > 0 {
		r.sayEverywhere(wire.AppendNotice(nil, announcement(left, "left")))
	}
}

// announcement is the line for clients that have joined or left.
func announcement(names []string, verb string) string {
	if len(names) == 1 {
		return names[0] + " has " + verb
	}
	text := fmt.Sprintf("%d %s: %s", len(names), verb, strings.Join(names[:min(len(names), namesAnnounced)], ", "))
	if more := len(names) - namesAnnounced; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
