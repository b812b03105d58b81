package core

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"chatbench/core/wire"
)

// If thousands of clients log in or leave at once, there is one line a second about them.
func TestJoinsInAStorm(t *testing.T) {
	const clients, seconds = 2000, 4
	r := testRoom(64<<10, Config{Announce: true})
	ann := enter(t, r, "ann")
	var heard bytes.Buffer
	var all []*Session
	storm := func(act func(i int)) {
		heard.Reset()
		for i := range clients {
			act(i)
			if i%(clients/seconds/10) == 0 {
				pass(r, 100*time.Millisecond)
			}
			heard.Write(take(ann))
		}
		pass(r, announceEvery)
		heard.Write(take(ann))
		if n := bytes.Count(heard.Bytes(), []byte("server: ")); n < 2 || n > seconds+2 {
			t.Errorf("%d lines in %d s", n, seconds)
		}
		if heard.Len() > (seconds+2)*(namesAnnounced+2)*12 {
			t.Errorf("%d octets for one who is there", heard.Len())
		}
	}
	storm(func(i int) {
		s := r.Join(netip.MustParseAddrPort("192.0.2.1:40000"), quiet{}, nil)
		s.Feed(wire.AppendCred(nil, fmt.Sprintf("user%d", i), "x"))
		all = append(all, s)
	})
	told := 0
	for line := range bytes.SplitSeq(heard.Bytes(), []byte{0}) {
		var n int
		if _, err := fmt.Sscanf(string(line), "server: %d joined: ", &n); err == nil {
			told += n
		} else if bytes.HasSuffix(line, []byte(" has joined")) {
			told++
		}
	}
	if told != clients {
		t.Errorf("told of %d of %d", told, clients)
	}
	storm(func(i int) { take(all[i]); all[i].Leave(ReasonEOF) })
}
