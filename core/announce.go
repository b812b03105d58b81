package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"chatbench/core/wire"
)

const (
	// announceEvery is the time between two announcements: of everybody who comes
	// and goes in between one line tells. If each were told of each, a thousand who
	// log in at once would make a million lines.
	announceEvery = time.Second
	// namesAnnounced is how many names stand in one line.
	namesAnnounced = 20
)

// announcements is who has come and gone and has not been told of yet.
type announcements struct {
	joined, left []string
	next         int64 // by Room.clock: before, nothing is told
}

// announceJoin tells the room of one who has joined, now or with the others of this
// second. One who has left and is back before that was told has never been gone.
func (r *Room) announceJoin(name string) {
	if !takeOut(&r.news.left, name) {
		r.news.joined = append(r.news.joined, name)
	}
	r.announceDue()
}

// announceLeave is announceJoin for one who has left.
func (r *Room) announceLeave(name string) {
	if !takeOut(&r.news.joined, name) {
		r.news.left = append(r.news.left, name)
	}
	r.announceDue()
}

// Gone tells the room, on all its servers, of somebody who is no longer there, and whose
// server cannot tell.
func (r *Room) Gone(name string) {
	r.mu.Lock()
	defer r.unlock()
	r.announceLeave(name)
}

// takeOut takes a name off a list, if it is there.
func takeOut(names *[]string, name string) bool {
	i := slices.Index(*names, name)
	if i >= 0 {
		*names = slices.Delete(*names, i, i+1)
	}
	return i >= 0
}

// announceDue tells the room who has come and gone, if it is time. As many as there
// are places may wait to be told of.
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
	news.joined, news.left = nil, nil // saying it can end one who is slow, who has left then
	if len(joined) > 0 {
		r.sayEverywhere(wire.AppendNotice(nil, announcement(joined, "joined")))
	}
	if len(left) > 0 {
		r.sayEverywhere(wire.AppendNotice(nil, announcement(left, "left")))
	}
}

// announcement is the line that tells of some who have joined or left.
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
