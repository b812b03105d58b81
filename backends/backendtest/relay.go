package backendtest

import (
	"fmt"
	"slices"
	"strings"

	"chatbench/core/wire"
)

var relayScenarios = []scenario{
	{"relay-every-command", relayEveryCommand},
	{"relay-nobody", relayNobody},
	{"relay-and-talk", relayAndTalk},
}

// relayEveryCommand: a file frame goes to the client that it names, with the sender's
// name in its place.
func relayEveryCommand(h *harness) {
	r := h.open()
	alice, bob, carol := r.login("alice"), r.login("bob"), r.login("carol")
	file := " dir/a file.txt"
	for _, f := range []struct {
		cmd  wire.Command
		rest string
	}{
		{wire.LsReq, ""}, {wire.LsStart, ""}, {wire.LsBody, file}, {wire.LsEnd, ""},
		{wire.DnReq, file}, {wire.DnAck, file + " 127.0.0.1 50000"}, {wire.DnNack, file},
	} {
		alice.send(wire.AppendFile(nil, f.cmd, "bob", []byte(f.rest)))
		bob.expect(wire.File, f.cmd, "alice"+f.rest)
	}
	// The one who is refused also gets a notice.
	bob.expectChat("server: File not found: dir/a file.txt")
	alice.send(wire.AppendFile(nil, wire.LsReq, "alice", nil))
	alice.expect(wire.File, wire.LsReq, "alice")
	carol.say("nothing of it came here")
	carol.expectChat("carol: nothing of it came here")
}

// relayNobody: a file frame to an unknown user is answered with a notice, to its sender
// alone.
func relayNobody(h *harness) {
	r := h.open()
	alice, bob := r.login("alice"), r.login("bob")
	alice.send(wire.AppendFile(nil, wire.DnReq, "zoe", []byte(" file")))
	alice.expectChat("server: No such user: zoe")
	bob.say("hello")
	bob.expectChat("bob: hello")
}

// relayAndTalk: pairs of clients send file frames while others talk. All frames of each
// pair arrive in order, and so do all messages.
func relayAndTalk(h *harness) {
	const pairs, frames, messages = 6, 300, 200
	r := h.open()
	from, to := r.logins("from", pairs), r.logins("to", pairs)
	talkers := r.logins("t", 2)
	failed := make(chan error, pairs)
	for i := range pairs {
		go func() { failed <- receive(to[i], from[i].name, frames) }()
	}
	heard := listenAll(slices.Concat(talkers, from), "the end")
	talkAll(r, slices.Concat(talkers, from), func(c *client) error {
		to, relays := strings.CutPrefix(c.name, "from")
		for i := range max(frames, messages) {
			var err error
			switch {
			case relays && i < frames:
				err = c.trySend(wire.AppendFile(nil, wire.LsBody, "to"+to, fmt.Appendf(nil, " file %d", i)))
			case !relays && i < messages:
				err = c.trySend(wire.AppendChat(nil, fmt.Sprintf("no %d", i)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for range pairs {
		if err := <-failed; err != nil {
			r.Fatalf("%v", err)
		}
	}
	r.eventually(func() bool { return heard[0].heard.Load() == 2*messages }, "all is heard")
	from[0].say("the end")
	texts := sameForAll(heard)
	for _, c := range talkers {
		checkSequence(h, texts, c.name, "no", messages)
	}
}

// receive reads the file frames of one sender, and skips chat messages.
func receive(c *client, from string, n int) error {
	for i := 0; i < n; {
		f, err := c.read()
		if err != nil {
			return fmt.Errorf("%s: after %d file frames: %w", c.name, i, err)
		}
		if f.Type == wire.Chat {
			continue
		}
		if want := fmt.Sprintf("%s file %d", from, i); string(f.Body) != want {
			return fmt.Errorf("%s: was sent %s, want %q", c.name, show(f), want)
		}
		i++
	}
	return nil
}
