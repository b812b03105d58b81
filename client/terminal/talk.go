package terminal

import (
	"context"
	"errors"
	"strings"
	"time"

	"chatbench/client"
)

// help is what /help shows.
var help = []string{
	"a line is said to everybody in the room; these are not:",
	"  /help   this",
	"  /bye    leave, as Ctrl-C and Ctrl-D do",
	"  //...   say a line that begins with /",
}

// talk carries lines out and events in until one side has had enough. The
// error is errLeft if it was ours.
func (v *conversation) talk(ctx context.Context, c *client.Client) error {
	patience := time.NewTimer(echoTimeout)
	defer patience.Stop()
	for {
		typed, tired := v.typed, (<-chan time.Time)(nil)
		switch {
		case len(v.unheard) >= unheardMost && !v.interactive:
			typed = nil // let the server catch up
		case v.typed == nil && len(v.unheard) == 0:
			return errLeft
		case v.typed == nil:
			tired = patience.C
		}
		select {
		case <-ctx.Done():
			return errLeft
		case <-tired:
			v.lost()
			return errLeft
		case e, ok := <-c.Events():
			if !ok {
				return c.Err()
			}
			v.show(v.hear(c, e))
			patience.Reset(echoTimeout)
		case line, ok := <-typed:
			if !ok {
				v.typed = nil
				if v.interactive {
					return errLeft
				}
				continue
			}
			if v.enter(c, line) {
				if v.interactive {
					return errLeft
				}
				v.typed = nil // leave when all is said
			}
			patience.Reset(echoTimeout)
		}
	}
}

// hear takes an event and what has arrived behind it, to show in one go.
func (v *conversation) hear(c *client.Client, e client.Event) []client.Event {
	var batch []client.Event
	for ok := true; ok; {
		batch = append(batch, e)
		if said, is := e.(client.Said); is && said.From == c.Name() && len(v.unheard) > 0 {
			v.unheard = v.unheard[1:]
		}
		select {
		case e, ok = <-c.Events():
		default:
			ok = false
		}
	}
	return batch
}

// enter does what a typed line asks for; true means to leave.
func (v *conversation) enter(c *client.Client, line string) (leave bool) {
	if command(line) {
		return v.obey(line)
	}
	text := spoken(line)
	if len(v.unheard) >= unheardMost {
		v.status("the server is behind; not said: " + client.Safe([]byte(text)))
		v.unsaid++
		return false
	}
	err := c.Say(text)
	if errors.Is(err, client.ErrText) {
		v.status("not said: " + trim(err))
		v.unsaid++
		return false
	}
	// Of a connection that failed we hear by its events, with the reason.
	v.unheard = append(v.unheard, text)
	return false
}

// spoken is what a line says: without the slash that kept it from being a
// command, and without what no frame can carry.
func spoken(line string) string {
	if strings.HasPrefix(line, "//") {
		line = line[1:]
	}
	return strings.ReplaceAll(line, "\x00", "")
}

// command says whether a line is for us rather than for the room.
func command(line string) bool {
	return strings.HasPrefix(line, "/") && !strings.HasPrefix(line, "//")
}

// obey carries a command out; true means to leave.
func (v *conversation) obey(line string) (leave bool) {
	switch strings.TrimSpace(line) {
	case "/bye":
		return true
	case "/help":
		for _, text := range help {
			v.status(text)
		}
	default:
		v.status("there is no such command; /help shows those there are, // says a line that begins with /")
	}
	return false
}

// offline takes a line that was entered while the server went; true means to leave.
func (v *conversation) offline(line string) (leave bool) {
	if command(line) {
		return v.obey(line)
	}
	v.status("not said: " + client.Safe([]byte(line)))
	return false
}

// trim takes the package's name off an error that is shown to a person.
func trim(err error) string {
	text := strings.TrimPrefix(err.Error(), "client: ")
	return strings.TrimPrefix(text, "terminal: ")
}
