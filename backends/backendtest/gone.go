package backendtest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

// goneWhileHeld: a client has sent more than flood control allows in a year, and leaves
// by a FIN or a reset. Its transport must not read it any more, but has to close its
// connection soon after Room.Farewell, so that its slot is free. The client sends more
// than a transport reads before it stops, and more than a pipe holds, but so little that
// the server's kernel takes all of it and the FIN.
func goneWhileHeld(h *harness) {
	const farewell = 300 * time.Millisecond
	r := h.open(withFlood(1e-6, 1), func(s *settings) { s.room.Farewell, s.net.Linger = farewell, farewell })
	message := wire.AppendChat(nil, strings.Repeat("x", 1000))
	for _, size := range []int{40 << 10, 70 << 10} {
		for way, leave := range map[string]func(*client){"fin": (*client).finish, "reset": (*client).reset} {
			waits := r.room.Snapshot().FloodWaits
			c := r.login(fmt.Sprint(way, size))
			c.send(bytes.Repeat(message, size/len(message)))
			r.eventually(func() bool { return r.room.Snapshot().FloodWaits > waits }, "its input waits")
			time.Sleep(50 * time.Millisecond) // until its transport has read what it will
			began := time.Now()
			leave(c)
			c.drainAll() // after a FIN, to the end of the connection
			closed := time.Since(began)
			if closed >= r.timeout/2 {
				r.Errorf("%s: the connection stayed open for %v", c.name, closed)
			}
			r.waitClients(0)
			r.Logf("%s: the connection had ended after %v, its slot was free after %v", c.name, closed, time.Since(began))
		}
	}
	r.waitEnds(core.ReasonFlood, 2)
	r.waitEnds(core.ReasonReset, 2)
}
