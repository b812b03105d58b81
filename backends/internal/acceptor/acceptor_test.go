package acceptor

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"chatbench/backends"
)

// TestTurnedAway: a connection that is turned away is counted, does not delay the next one,
// and cannot fill the log.
func TestTurnedAway(t *testing.T) {
	const turnedAway, accepted = 1000, 10
	var log bytes.Buffer
	cfg := backends.Config{Listen: "127.0.0.1:0", Counters: new(backends.Counters), Log: slog.New(slog.NewTextHandler(&log, nil))}
	a, err := Listen(cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan struct{})
	taken := 0
	a.Run(func() error {
		switch taken++; {
		case taken <= turnedAway:
			return fmt.Errorf("%w: no threads", ErrTurnedAway)
		case taken <= turnedAway+accepted:
			return nil
		}
		close(all)
		_, _, err := a.FD() // until it is closed
		if err == nil {
			err = errors.New("somebody is there")
		}
		return err
	})
	<-all
	a.Close()
	c := cfg.Counters
	if c.NoDescriptors.Load() != turnedAway || c.Accepts.Load() != accepted || c.AcceptErrors.Load() != 0 {
		t.Errorf("counted are %d turned away, %d accepted and %d errors", c.NoDescriptors.Load(), c.Accepts.Load(), c.AcceptErrors.Load())
	}
	if lines := strings.Count(log.String(), "\n"); lines == 0 || lines > 40 {
		t.Errorf("%d lines for %d connections", lines, turnedAway)
	}
	if !strings.Contains(log.String(), "no threads") {
		t.Errorf("the log does not say why: %s", log.String())
	}
}
