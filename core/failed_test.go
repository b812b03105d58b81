package core

import (
	"errors"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// TestWriteFailed: after a failed write nothing is kept for a client, and no other client
// waits for it. It is never slow, and what it sent before the end of its connection is
// processed.
func TestWriteFailed(t *testing.T) {
	r := testRoom(1<<10, Config{LagLimit: 1000, LagTime: time.Second, LagMax: 20_000})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	speak(r, ann, 2000)
	take(ann)
	refuse(bob, 5) // within a frame, and then the connection breaks
	bob.WriteFailed()
	for range 30 {
		speak(r, ann, 3000)
		ann.Feed(wire.AppendFile(nil, wire.LsBody, "bob", []byte(" "+strings.Repeat("x", 300))))
		take(ann)
		tick(r)
		stays(t, bob)
	}
	if ann.Held() || bob.queued() != 0 || len(bob.mail.start.pending(forever)) != 0 {
		t.Errorf("ann waits: %v; %d octets wait for bob", ann.Held(), bob.queued())
	}
	if r.log.reclaim(); r.log.end.Load()-r.log.first.base > 2<<10 {
		t.Errorf("%d octets of the log are kept", r.log.end.Load()-r.log.first.base)
	}
	if p := bob.Next(); p != nil {
		t.Errorf("bob is still given %q", p)
	}
	bob.Wrote(0) // says nothing new
	bob.Feed(wire.AppendChat(nil, "so long"))
	if got := string(take(ann)); !strings.Contains(got, "bob: so long") {
		t.Errorf("ann hears %q", got)
	}
	bob.WriteFailed()
	bob.Leave(ReasonReset)
	if st := r.Snapshot(); st.Ends[ReasonReset] != 1 || st.Clients != 1 {
		t.Errorf("%d resets are counted, and %d clients", st.Ends[ReasonReset], st.Clients)
	}
}

// TestWriteFailedReleases: clients that wait to send frames to a client go on when a write to
// it has failed.
func TestWriteFailedReleases(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 1000})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	for range 3 {
		ann.Feed(wire.AppendFile(nil, wire.LsBody, "bob", []byte(" "+strings.Repeat("x", 200))))
	}
	if !ann.Held() {
		t.Fatal("ann does not wait")
	}
	bob.WriteFailed()
	if take(ann); ann.Held() {
		t.Error("ann still waits")
	}
}

// asked is an Authenticator that a test provides.
type asked func(*Login)

func (a asked) Authenticate(l *Login) { a(l) }

// TestWriteFailedEarly: a write may fail before the login is answered, and before the session
// closes. Next processes the waiting input, and returns nothing.
func TestWriteFailedEarly(t *testing.T) {
	for _, deny := range []bool{false, true} {
		var bobs *Login
		r := testRoom(1<<10, Config{LagLimit: 1000, LagMax: 20_000, Authenticator: asked(func(l *Login) {
			if bobs = l; l.Name == "ann" {
				l.Answer(nil)
			}
		})})
		ann := enter(t, r, "ann")
		bob := r.Join(ann.peer, quiet{}, nil)
		bob.Feed(wire.AppendCred(nil, "bob", "x"))
		for range 2 * resumeStep / 100 {
			bob.Feed(chat(100))
		}
		bob.WriteFailed()
		want := 2 * resumeStep / 100
		if deny {
			bobs.Answer(errors.New("no"))
			want = 0
		} else {
			bobs.Answer(nil)
		}
		for range 5 {
			if p := bob.Next(); p != nil {
				t.Errorf("bob is given %q", p)
			}
			tick(r) // only so much that waited is said between two
		}
		if got := strings.Count(string(take(ann)), "bob: "); got != want || bob.Held() {
			t.Errorf("%d messages of bob's are heard of %d, Held: %v", got, want, bob.Held())
		}
		for range 10 {
			speak(r, ann, 3000)
			take(ann)
		}
		if why, closing := bob.Closing(); closing != deny || closing && why != ReasonDenied {
			t.Errorf("closing: %v, %v", why, closing)
		}
		bob.Leave(ReasonReset)
		if n := r.Snapshot().Clients; n != 1 {
			t.Errorf("%d clients are left", n)
		}
	}
}
