package uring

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"chatbench/core"
)

// Clients that are dropped while they talk are reset, though a receive that was in flight
// takes the last of what they say: the kernel does not tell them of the room that this
// makes, so one whose window was full would wait for it, and ask, for minutes.
func TestDroppedWhileItTalks(t *testing.T) {
	const clients = 30
	r := serve(t, core.Config{}, 0)
	var talk sync.WaitGroup
	for i := range clients {
		c := r.login(fmt.Sprintf("c%d", i), 0)
		talk.Go(func() {
			c.Write([]byte{9}) // no such type: the server says FIN, and reads on for its linger
			c.SetWriteDeadline(time.Now().Add(patience))
			for said := make([]byte, 1<<20); ; {
				if _, err := c.Write(said); err != nil {
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("client %d is neither read nor reset", i)
					}
					return
				}
			}
		})
	}
	talk.Wait()
}
