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

// Clients that are dropped while they talk are reset, even if a receive that was in flight takes their last
// input: the kernel does not announce the window that this opens, so a client whose window was full would
// wait, and probe, for minutes.
func TestDroppedWhileItTalks(t *testing.T) {
	const clients = 30
	r := serve(t, core.Config{}, 0)
	var talk sync.WaitGroup
	for i := range clients {
		c := r.login(fmt.Sprintf("c%d", i), 0)
		talk.Go(func() {
			c.Write([]byte{9}) // an unknown type: the server sends FIN, and reads for Linger
			c.SetWriteDeadline(time.Now().Add(timeout))
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
