package server

import (
	"context"
	"errors"
	"io"
	"testing"

	"chatbench/backends"
)

// TestConfigOfTheTransport: the transport gets the same sizes as the room.
func TestConfigOfTheTransport(t *testing.T) {
	enough := errors.New("that is all the test wants")
	var got backends.Config
	o := options(io.Discard)
	o.MaxFrame, o.SendBuffer, o.Backlog = 12345, 54321, 77
	o.Backend.Start = func(cfg backends.Config) (backends.Server, error) {
		got = cfg
		return nil, enough
	}
	if _, err := Start(context.Background(), o); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if got.MaxFrame != o.MaxFrame || got.SendBuffer != o.SendBuffer || got.Backlog != o.Backlog || got.MaxClients != o.MaxClients {
		t.Errorf("the options say MaxFrame %d, SendBuffer %d, Backlog %d, MaxClients %d; the transport is told %+v",
			o.MaxFrame, o.SendBuffer, o.Backlog, o.MaxClients, got)
	}
}
