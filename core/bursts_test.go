package core

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// TestBurstsOfManyEndNobody: as many clients as one address may have, each within its
// allowance, cannot cause the end of a client that reads 4 MB a second.
func TestBurstsOfManyEndNobody(t *testing.T) {
	r := testRoom(chunkSize, Config{Flood: Flood{Rate: 20, Burst: 300}})
	bob := enter(t, r, "bob")
	var all []*Session
	for i := range 64 {
		all = append(all, enter(t, r, fmt.Sprint("c", i)))
	}
	line := bytes.Repeat(wire.AppendChat(nil, strings.Repeat("x", 4000)), 4)
	for turn := range 100 { // 50 ms each
		for _, s := range all {
			if !s.Held() {
				s.Feed(line)
			}
		}
		takeAll(all)
		for left := 200 << 10; left > 0; {
			p := bob.Next()
			if p == nil {
				break
			}
			n := min(left, len(p))
			bob.Wrote(n)
			left -= n
		}
		if turn%2 == 1 {
			tick(r)
		}
		stays(t, bob)
	}
}

// TestLateTick: time during which the whole process was stopped does not count when slow
// clients are ended.
func TestLateTick(t *testing.T) {
	r := testRoom(chunkSize, Config{})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	speak(r, ann, 300<<10)
	refuse(bob, 1)
	tick(r)
	pass(r, 3*time.Second)
	stays(t, bob)
}
