package backendtest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

// goneWhileHeld: a client has sent more than it may say in a year, and leaves, by a
// FIN or a reset. Its transport, which may not read it any more, lets go of its
// connection all the same, and the room of its slot, soon after the farewell. What
// it sends is more than a transport reads before it stops, and than a pipe takes,
// but so little that the server's kernel takes all of it, the FIN included.
func goneWhileHeld(l *lab) {
	const farewell = 300 * time.Millisecond
	r := l.open(withFlood(1e-6, 1), func(s *settings) { s.room.Farewell, s.net.Linger = farewell, farewell })
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
			if closed >= r.patience/2 {
				r.Errorf("%s: the connection stood for %v", c.name, closed)
			}
			r.waitClients(0)
			r.Logf("%s: the connection had ended after %v, its slot was free after %v", c.name, closed, time.Since(began))
		}
	}
	r.waitEnds(core.ReasonFlood, 2)
	r.waitEnds(core.ReasonReset, 2)
}
