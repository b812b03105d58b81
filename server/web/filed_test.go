package web

import (
	"sync/atomic"

	"chatbench/client"
	"chatbench/core/wire"
)

// filed is client.Files that lists two names, and records the end of a list that it asked for.
type filed struct {
	name  string
	ended atomic.Bool
}

func (f *filed) FileFrame(c *client.Client, frame wire.Frame) {
	switch name, _ := wire.SplitName(frame.Body); frame.Command {
	case wire.LsReq:
		c.List(string(name), []string{"a b.txt", "<b>.txt"})
	case wire.LsEnd:
		f.ended.Store(true)
	}
}

func (f *filed) Notice(*client.Client, string) {}
