package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"chatbench/server/gate"
)

// Commands lists the commands and their arguments.
var Commands = []struct {
	Name   string
	Target bool // takes a name, an address or a prefix
	For    bool // may take a duration
	Text   bool // takes a text
	Help   string
}{
	{Name: "who", Help: "list the users in the room"},
	{Name: "kick", Target: true, Help: "end the sessions of NAME"},
	{Name: "ban", Target: true, For: true, Help: "ban NAME, ADDRESS or PREFIX, for good or -for 90m, 36h or 7d"},
	{Name: "unban", Target: true, Help: "lift that ban"},
	{Name: "bans", Help: "list the bans"},
	{Name: "say", Text: true, Help: "send TEXT to the room as a notice"},
	{Name: "reload", Help: "read users and bans again, as SIGHUP does"},
	{Name: "drain", Help: "send everybody what was said, and end, as SIGTERM does"},
	{Name: "stats", Help: "print the server's counters"},
}

// do carries out a request.
func (s *Server) do(r Request) (a Answer) {
	for _, c := range Commands {
		switch {
		case c.Name != r.Command:
			continue
		case c.Target != (r.Target != ""), c.Text != (r.Text != ""), !c.For && r.For != "":
			return Answer{Error: fmt.Sprintf("%s: takes %s", c.Name, takes(c.Target, c.For, c.Text))}
		}
		a, err := s.carryOut(r)
		if err != nil {
			a.Error = strings.TrimPrefix(err.Error(), "gate: ") // the package means nothing to an operator
		}
		return a
	}
	return Answer{Error: fmt.Sprintf("there is no command %.40q: chatd ctl -h lists them", r.Command)}
}

func takes(target, duration, text bool) string {
	switch {
	case duration:
		return "one name, address or prefix, and optionally a duration"
	case target:
		return "one name, address or prefix"
	case text:
		return "a text"
	}
	return "no arguments"
}

func (s *Server) carryOut(r Request) (a Answer, err error) {
	switch r.Command {
	case "who":
		a.Users = s.op.Users()
		a.Text = fmt.Sprintf("%d in the room", len(a.Users))
	case "kick":
		if a.Ended, err = s.op.Kick(r.Target); err == nil {
			a.Text = fmt.Sprintf("kicked %s", r.Target)
		}
	case "ban":
		return s.ban(r)
	case "unban":
		if err = s.op.Unban(r.Target); err == nil {
			a.Text = fmt.Sprintf("lifted the ban of %s", r.Target)
		}
	case "bans":
		a.Bans = s.op.Bans()
		a.Text = fmt.Sprintf("%d banned", len(a.Bans))
	case "say":
		a.Text = fmt.Sprintf("said to %d", s.op.Say(r.Text))
	case "reload":
		if a.Ended, err = s.op.Reload(); err == nil {
			a.Text = fmt.Sprintf("read again: %d ended", a.Ended)
		}
	case "drain":
		s.op.Drain()
		a.Text = "draining"
	case "stats":
		if a.Stats, err = json.Marshal(s.op.Stats()); err != nil {
			panic("control: " + err.Error()) // Stats can always be encoded
		}
	}
	return a, err
}

// ban bans a target. If the file cannot be written the ban is still in force.
func (s *Server) ban(r Request) (a Answer, err error) {
	var d time.Duration
	if r.For != "" {
		if d, err = parseTime(r.For); err != nil || d < time.Second {
			return a, fmt.Errorf("%.40q is not a duration: give one such as 90m, 36h or 7d, of at least 1s", r.For)
		}
	}
	ban, ended, err := s.op.Ban(r.Target, d)
	if err != nil && !errors.As(err, new(gate.NotSaved)) {
		return a, err
	}
	until := "for good"
	if !ban.Until.IsZero() {
		until = "until " + ban.Until.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	text := fmt.Sprintf("banned %s %s: %d ended", ban.Target(), until, ended)
	if !s.op.Known(ban) {
		text += ", there is no user of that name"
	}
	return Answer{Ended: ended, Text: text}, err
}

// maxDays bounds the days of a duration: a century.
const maxDays = 36_500

// parseTime is time.ParseDuration, but also accepts days at the beginning: 7d, 1d12h.
func parseTime(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > maxDays {
		return 0, fmt.Errorf("%q is not a number of days up to %d", days, maxDays)
	}
	d := time.Duration(0)
	if rest != "" {
		d, err = time.ParseDuration(rest)
	}
	if d < 0 || d > maxDays*day {
		return 0, fmt.Errorf("%q is not a duration", rest)
	}
	return time.Duration(n)*day + d, err
}

const day = 24 * time.Hour
