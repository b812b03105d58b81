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

// Commands is what there is to do, with what each takes.
var Commands = []struct {
	Name   string
	Target bool // takes a name, an address or a prefix
	For    bool // may take how long
	Text   bool // takes a text
	Help   string
}{
	{Name: "who", Help: "who is in the room"},
	{Name: "kick", Target: true, Help: "end the sessions of NAME"},
	{Name: "ban", Target: true, For: true, Help: "keep NAME, ADDRESS or PREFIX out, for good or -for 90m, 36h or 7d"},
	{Name: "unban", Target: true, Help: "lift that ban"},
	{Name: "bans", Help: "the bans there are"},
	{Name: "say", Text: true, Help: "tell the room TEXT"},
	{Name: "reload", Help: "read users and bans again, as SIGHUP does"},
	{Name: "drain", Help: "send everybody what was said, and end, as SIGTERM does"},
	{Name: "stats", Help: "what the server has counted"},
}

// do carries a request out.
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
			a.Error = strings.TrimPrefix(err.Error(), "gate: ") // no concern of who asks
		}
		return a
	}
	return Answer{Error: fmt.Sprintf("there is no command %.40q: chatd ctl -h lists them", r.Command)}
}

func takes(target, duration, text bool) string {
	switch {
	case duration:
		return "a name, address or prefix, and maybe how long"
	case target:
		return "one name, address or prefix"
	case text:
		return "a text"
	}
	return "nothing else"
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
			panic("control: " + err.Error()) // it is made for JSON
		}
	}
	return a, err
}

// ban bans. If the file cannot be written the ban counts all the same.
func (s *Server) ban(r Request) (a Answer, err error) {
	var d time.Duration
	if r.For != "" {
		if d, err = parseTime(r.For); err != nil || d < time.Second {
			return a, fmt.Errorf("%.40q is no time to ban for, such as 90m, 36h or 7d", r.For)
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

// mostDays bounds the days of a time: a century.
const mostDays = 36_500

// parseTime is time.ParseDuration, and takes days in front: 7d, 1d12h.
func parseTime(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > mostDays {
		return 0, fmt.Errorf("%q is no number of days up to %d", days, mostDays)
	}
	d := time.Duration(0)
	if rest != "" {
		d, err = time.ParseDuration(rest)
	}
	if d < 0 || d > mostDays*day {
		return 0, fmt.Errorf("%q is no time", rest)
	}
	return time.Duration(n)*day + d, err
}

const day = 24 * time.Hour
