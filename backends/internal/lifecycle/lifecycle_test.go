package lifecycle

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

// TestShutdown: Shutdown cuts only what has not ended when the context ends, and returns the cause only
// if it had to cut.
func TestShutdown(t *testing.T) {
	cause := errors.New("the time is over")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	for _, endsOnCut := range []bool{false, true} {
		var s *Server
		var calls []bool
		s = New(netip.AddrPort{}, func(cut bool) {
			if calls = append(calls, cut); cut == endsOnCut {
				s.Ended(nil)
			}
		})
		var want error
		if endsOnCut {
			want = cause
		}
		if err := s.Shutdown(ctx); err != want || len(calls) == 2 != endsOnCut {
			t.Errorf("ends when it is cut %v: Shutdown returned %v, want %v; stop was called with %v", endsOnCut, err, want, calls)
		}
		select {
		case <-s.Done():
		default:
			t.Error("Done is not closed")
		}
	}
}

// TestEndsByItself: Err is why a transport ended by itself.
func TestEndsByItself(t *testing.T) {
	s := New(netip.MustParseAddrPort("127.0.0.1:1"), func(bool) {})
	failed := errors.New("failed")
	s.Ended(failed)
	if err := s.Shutdown(context.Background()); err != nil || s.Err() != failed || s.Addr().Port() != 1 {
		t.Errorf("Shutdown returned %v, Err is %v, bound at %v", err, s.Err(), s.Addr())
	}
}
