package absence

import (
	"testing"
	"time"
)

// unread is a connection that counts how often it is looked at.
type unread struct {
	watch  Watch
	looked int
	stays  bool
}

func (u *unread) Absence() *Watch { return &u.watch }

func (u *unread) Stays(time.Time) bool { u.looked++; return u.stays }

// TestList: each is on it once, is looked at when it is time, and may come back.
func TestList(t *testing.T) {
	var l List[*unread]
	stays, goes := &unread{stays: true}, new(unread)
	for range 2 {
		l.Add(stays)
		l.Add(goes)
	}
	if l.Len() != 2 {
		t.Errorf("%d on the list, want 2", l.Len())
	}
	l.Look(l.Next().Add(-1))
	if stays.looked != 0 {
		t.Error("looked at too early")
	}
	now := l.Next()
	l.Look(now)
	l.Look(now)
	if stays.looked != 1 || goes.looked != 1 || l.Len() != 1 || !l.Next().Equal(now.Add(Every)) {
		t.Errorf("looked %d and %d times, %d left, next in %v", stays.looked, goes.looked, l.Len(), l.Next().Sub(now))
	}
	l.Add(goes)
	if l.Len() != 2 {
		t.Error("one that was let go of does not come back")
	}
	stays.watch.until = now.Add(Every + Every/2) // has left, and is let go of between two looks
	l.Look(now.Add(Every))
	if want := stays.watch.until; !l.Next().Equal(want) {
		t.Errorf("next at %v, want %v", l.Next(), want)
	}
}
