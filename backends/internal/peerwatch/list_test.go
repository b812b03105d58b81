package peerwatch

import (
	"testing"
	"time"
)

// unread is a connection that counts its checks.
type unread struct {
	watch  Watch
	checks int
	stays  bool
}

func (u *unread) PeerWatch() *Watch { return &u.watch }

func (u *unread) CheckPeer(time.Time) bool { u.checks++; return u.stays }

// TestList: a connection is on the list once, is checked when it is time, and may be added again.
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
	l.Check(l.NextCheck().Add(-1))
	if stays.checks != 0 {
		t.Error("checked too early")
	}
	now := l.NextCheck()
	l.Check(now)
	l.Check(now)
	if stays.checks != 1 || goes.checks != 1 || l.Len() != 1 || !l.NextCheck().Equal(now.Add(Interval)) {
		t.Errorf("checked %d and %d times, %d left, next in %v", stays.checks, goes.checks, l.Len(), l.NextCheck().Sub(now))
	}
	l.Add(goes)
	if l.Len() != 2 {
		t.Error("a connection that was removed is not added again")
	}
	stays.watch.until = now.Add(Interval + Interval/2) // has left, and its time ends between two checks
	l.Check(now.Add(Interval))
	if want := stays.watch.until; !l.NextCheck().Equal(want) {
		t.Errorf("next at %v, want %v", l.NextCheck(), want)
	}
}
