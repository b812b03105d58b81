package terminal

import (
	"context"
	"errors"
	"strings"
	"time"

	"chatbench/client"
	"chatbench/client/command"
)

// talk carries lines out and events in until one side has had enough. The
// error is errLeft if it was ours.
func (v *conversation) talk(ctx context.Context, c *client.Client) error {
	patience := time.NewTimer(echoTimeout)
	defer patience.Stop()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		typed, tired := v.typed, (<-chan time.Time)(nil)
		switch {
		case len(v.errands) > 0 && !v.interactive:
			typed = nil // a script's lines are done one after the other
		case len(v.unheard) >= unheardMost && !v.interactive:
			typed = nil // let the server catch up
		case v.typed == nil && len(v.unheard) == 0 && v.asked == 0:
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
		case do := <-v.asides:
			do()
			patience.Reset(echoTimeout)
		case text := <-v.told:
			v.status(text)
		case <-tick.C:
			v.drawProgress()
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
		v.memory.Saw(e)
		switch e := e.(type) {
		case client.Said:
			if e.From == c.Name() && len(v.unheard) > 0 {
				v.unheard = v.unheard[1:]
			}
		case client.Notice:
			if _, is := command.Answer(e.Text); is && v.asked > 0 {
				v.asked--
			}
		}
		select {
		case e, ok = <-c.Events():
		default:
			ok = false
		}
	}
	return batch
}

// catchUp shows what has arrived already.
func (v *conversation) catchUp(c *client.Client) {
	select {
	case e, ok := <-c.Events():
		if ok {
			v.show(v.hear(c, e))
		}
	default:
	}
}

// enter does what a typed line asks for; true means to leave.
func (v *conversation) enter(c *client.Client, line string) (leave bool) {
	if isCommand(line) {
		return v.obey(c, line)
	}
	text := spoken(line)
	if text == whoText {
		v.askWho(c) // it would be answered, and never come back as said
		return false
	}
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

// isCommand says whether a line is for us rather than for the room.
func isCommand(line string) bool {
	return strings.HasPrefix(line, "/") && !strings.HasPrefix(line, "//")
}

// obey carries a command out; true means to leave. c is nil without a server.
func (v *conversation) obey(c *client.Client, line string) (leave bool) {
	cmd, err := v.memory.Parse(line)
	switch {
	case err != nil:
		v.complain(trim(err))
	case cmd.Kind == command.Bye:
		return true
	case cmd.Kind == command.Help:
		for _, text := range command.HelpText {
			v.status(text)
		}
	case cmd.Kind == command.Who:
		v.askWho(c)
	default:
		v.file(c, cmd)
	}
	return false
}

// whoText is a text that the server does not relay but answers: see PROTOCOL.md.
const whoText = "/who"

// askWho asks the server who is in the room: the answer is a notice.
func (v *conversation) askWho(c *client.Client) {
	if c == nil {
		v.complain(nobodyToAsk)
		return
	}
	if c.Say(whoText) == nil { // of a connection that failed we hear by its events
		v.asked++
	}
}

// nobodyToAsk is what is said of a command that needs a server.
const nobodyToAsk = "there is no server to ask at the moment"

// offline takes a line that was entered while the server went; true means to leave.
func (v *conversation) offline(line string) (leave bool) {
	if isCommand(line) {
		return v.obey(nil, line)
	}
	v.status("not said: " + client.Safe([]byte(line)))
	return false
}

// trim takes the package's name off an error that is shown to a person.
func trim(err error) string {
	text := err.Error()
	for _, own := range []string{"client: ", "terminal: ", "command: ", "transfer: ", "downloads: ", "share: "} {
		text = strings.TrimPrefix(text, own)
	}
	return text
}
