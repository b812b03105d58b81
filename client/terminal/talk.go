package terminal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"chatbench/client"
	"chatbench/client/command"
)

// talk sends lines and shows events until one side ends the conversation. The error
// is errLeft if the user did.
func (v *conversation) talk(ctx context.Context, c *client.Client) error {
	timeout := time.NewTimer(echoTimeout)
	defer timeout.Stop()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		typed, timedOut := v.typed, (<-chan time.Time)(nil)
		switch {
		case len(v.requests) > 0 && !v.interactive:
			typed = nil // a script's commands run one after the other
		case len(v.pending) >= maxPending && !v.interactive:
			typed = nil // let the server catch up
		case v.typed == nil && len(v.pending) == 0 && v.whoPending == 0:
			return errLeft
		case v.typed == nil:
			timedOut = timeout.C
		}
		select {
		case <-ctx.Done():
			return errLeft
		case <-timedOut:
			v.giveUpPending()
			return errLeft
		case e, ok := <-c.Events():
			if !ok {
				return c.Err()
			}
			v.show(v.receive(c, e))
			timeout.Reset(echoTimeout)
		case call := <-v.calls:
			call()
			timeout.Reset(echoTimeout)
		case text := <-v.statuses:
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
			if v.handleLine(c, line) {
				if v.interactive {
					return errLeft
				}
				v.typed = nil // leave when all lines are echoed
			}
			timeout.Reset(echoTimeout)
		}
	}
}

// receive gives an event and those that have arrived since, to be shown together.
func (v *conversation) receive(c *client.Client, e client.Event) []client.Event {
	var batch []client.Event
	for ok := true; ok; {
		batch = append(batch, e)
		v.memory.Saw(e)
		switch e := e.(type) {
		case client.Said:
			if e.From == c.Name() && len(v.pending) > 0 {
				v.pending = v.pending[1:]
			}
		case client.Notice:
			if _, is := command.Answer(e.Text); is && v.whoPending > 0 {
				v.whoPending--
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
			v.show(v.receive(c, e))
		}
	default:
	}
}

// handleLine says a line or carries out a command; true means to leave.
func (v *conversation) handleLine(c *client.Client, line string) (leave bool) {
	if isCommand(line) {
		return v.runCommand(c, line)
	}
	text := messageText(line)
	if text == whoText {
		v.askWho(c) // the server answers it and does not echo it
		return false
	}
	if len(v.pending) >= maxPending {
		v.status(fmt.Sprintf("not sent, because the server has not confirmed the last %d lines yet: %s", maxPending, client.Safe([]byte(text))))
		v.lostLines++
		return false
	}
	err := c.Say(text)
	if errors.Is(err, client.ErrText) {
		v.status("not sent: " + trim(err))
		v.lostLines++
		return false
	}
	// If the connection has failed, its events will end and say why.
	v.pending = append(v.pending, text)
	return false
}

// messageText is the message in a line: without the slash that kept it from being
// a command, and without NULs, which no frame can carry.
func messageText(line string) string {
	if strings.HasPrefix(line, "//") {
		line = line[1:]
	}
	return strings.ReplaceAll(line, "\x00", "")
}

// isCommand says whether a line is a command, and not a message.
func isCommand(line string) bool {
	return strings.HasPrefix(line, "/") && !strings.HasPrefix(line, "//")
}

// runCommand carries out a command; true means to leave. c is nil while there is no
// server.
func (v *conversation) runCommand(c *client.Client, line string) (leave bool) {
	cmd, err := v.memory.Parse(line)
	switch {
	case err != nil:
		v.commandFailed(trim(err))
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

// whoText is a message that the server answers and does not relay: see PROTOCOL.md.
const whoText = "/who"

// askWho asks the server who is in the room: the answer is a notice.
func (v *conversation) askWho(c *client.Client) {
	if c == nil {
		v.commandFailed(nobodyToAsk)
		return
	}
	if c.Say(whoText) == nil { // if the connection has failed, its events will say so
		v.whoPending++
	}
}

// nobodyToAsk answers a command that needs a server when there is none.
const nobodyToAsk = "not connected to the server: try again later"

// offline handles a line that was entered while there is no server; true means to
// leave.
func (v *conversation) offline(line string) (leave bool) {
	if isCommand(line) {
		return v.runCommand(nil, line)
	}
	v.status("not sent: " + client.Safe([]byte(line)))
	return false
}

// trim removes the package's name from an error, to show it to the user.
func trim(err error) string {
	text := err.Error()
	for _, own := range []string{"client: ", "terminal: ", "command: ", "transfer: ", "downloads: ", "share: "} {
		text = strings.TrimPrefix(text, own)
	}
	return text
}
