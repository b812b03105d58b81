package core

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

var update = flag.Bool("update", false, "rewrite what the scripts in testdata expect")

// TestScripts runs the conversations in testdata. A script is lines of
//
//	room KEY=VALUE…           a new room; see newTheatre
//	join NAME [IP]            a client connects, from 192.0.2.1 if nothing is said
//	NAME > FRAME [+ FRAME]…   it sends frames in one piece; >> sends octet by octet
//	NAME stops, NAME goes on  it takes no output; it takes all of it
//	NAME leaves REASON        its connection is gone
//	grant NAME, deny NAME WHY the Authenticator answers, if it is a late one
//	wait DURATION             time passes
//	drain                     the server is going down
//	counters                  what the room has counted
//
// FRAME is CHAT text, CRED text, CLOSE, FILE COMMAND text, or RAW octets, with
// Go's escapes. Indented lines are what follows: frames given to clients (<),
// ends with reason and state, counters. They are compared, and rewritten
// with -update.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := perform(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			compareScripts(t, file, got, string(want))
		})
	}
}

func compareScripts(t *testing.T, file, got, want string) {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Fatalf("%s:%d:\n got %s\nwant %s", file, i+1, a, b)
		}
	}
}

// perform runs a script and returns it with what followed each line.
func perform(t *testing.T, script string) string {
	var out strings.Builder
	var th *theatre
	for i, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "room"); ok {
			th = newTheatre(t, rest)
			continue
		}
		if err := th.do(line); err != nil {
			t.Fatalf("line %d: %q: %v", i+1, line, err)
		}
		for _, happened := range th.observe() {
			out.WriteString("  " + happened + "\n")
		}
	}
	return out.String()
}

// theatre is a room with named clients.
type theatre struct {
	room    *Room
	late    bool // the Authenticator answers later
	now     time.Time
	clients []*player
	gone    []*player
	report  []string
	feeding *player
}

// player is one client of a script.
type player struct {
	name    string
	session *Session
	answer  func(error)
	decoder wire.Decoder
	stopped bool
	ended   bool
}

func (*theatre) WakeRoom()     {}
func (*theatre) Wake(*Session) {}

func (th *theatre) Authenticate(l *Login) {
	switch {
	case th.late:
		th.feeding.answer = l.Answer
	case l.Password == "wrong":
		l.Answer(errors.New("wrong name or password"))
	default:
		l.Answer(nil)
	}
}

// newTheatre reads a room line: late, announce and claimed are switches,
// clients, pending, address, frame, lag and timeout are limits.
func newTheatre(t *testing.T, settings string) *theatre {
	th := &theatre{now: time.Unix(1e9, 0)}
	cfg := Config{Authenticator: th, Now: th.now}
	for _, setting := range strings.Fields(settings) {
		key, value, _ := strings.Cut(setting, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "late":
			th.late = true
		case "announce":
			cfg.Announce = true
		case "claimed":
			cfg.AdvertiseClaimed = true
		case "clients":
			cfg.MaxClients = n
		case "pending":
			cfg.MaxPending = n
		case "address":
			cfg.MaxPerAddress = n
		case "frame":
			cfg.MaxFrame = n
		case "lag":
			cfg.LagLimit = n
		case "timeout":
			cfg.LoginTimeout, _ = time.ParseDuration(value)
		default:
			t.Fatalf("unknown setting %q", key)
		}
	}
	th.room = NewRoom(cfg)
	return th
}

func (th *theatre) do(line string) error {
	first, rest, _ := strings.Cut(line, " ")
	name, more, _ := strings.Cut(rest, " ")
	switch first {
	case "join":
		peer := netip.AddrPortFrom(netip.MustParseAddr(cmp.Or(more, "192.0.2.1")), 40000)
		p := &player{name: name, session: th.room.Join(peer, th, nil)}
		p.decoder.Max = wire.MaxFromServer
		th.clients = append(th.clients, p)
	case "wait":
		d, err := time.ParseDuration(rest)
		th.now = th.now.Add(d)
		th.room.Tick(th.now)
		return err
	case "drain":
		th.room.Drain()
	case "counters":
		th.count()
	case "grant", "deny":
		return th.answer(first, name, more)
	default:
		p := th.find(first)
		if p == nil {
			return errors.New("nobody of that name")
		}
		return th.act(p, name, more)
	}
	return nil
}

func (th *theatre) find(name string) *player {
	for _, p := range slices.Backward(th.clients) {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (th *theatre) answer(verb, name, why string) error {
	i := slices.IndexFunc(th.gone, func(p *player) bool { return p.name == name })
	p := th.find(name)
	if p == nil && i >= 0 {
		p = th.gone[i]
	}
	if p == nil || p.answer == nil {
		return errors.New("no login waits")
	}
	var err error
	if verb == "deny" {
		err = errors.New(why)
	}
	p.answer(err)
	return nil
}

// act is what a client does.
func (th *theatre) act(p *player, verb, rest string) error {
	switch verb {
	case "stops":
		p.stopped = true
	case "goes":
		p.stopped = false
	case "leaves":
		i := slices.Index(reasonNames[:], rest)
		if i < 0 {
			return fmt.Errorf("no reason %q", rest)
		}
		p.session.Leave(Reason(i))
		th.gone = append(th.gone, p)
		th.clients = slices.DeleteFunc(th.clients, func(q *player) bool { return p == q })
	case ">", ">>":
		var in []byte
		for frame := range strings.SplitSeq(rest, " + ") {
			f, err := encode(frame)
			if err != nil {
				return err
			}
			in = append(in, f...)
		}
		th.feeding = p
		step := len(in)
		if verb == ">>" {
			step = 1
		}
		for piece := range slices.Chunk(in, max(step, 1)) {
			p.session.Feed(piece)
			clear(piece) // the room must not keep it
		}
	default:
		return errors.New("what is it to do?")
	}
	return nil
}

var (
	typeNames    = []string{"CHAT", "CRED", "FILE", "CLOSE"}
	commandNames = []string{"LS_REQ", "LS_START", "LS_BODY", "LS_END", "DN_REQ", "DN_ACK", "DN_NACK"}
)

// encode makes a frame of its notation.
func encode(notation string) ([]byte, error) {
	kind, text, _ := strings.Cut(notation, " ")
	var head []byte
	switch i := slices.Index(typeNames, kind); {
	case kind == "FILE":
		var command string
		command, text, _ = strings.Cut(text, " ")
		i := slices.Index(commandNames, command)
		if i < 0 {
			return nil, fmt.Errorf("no command %q", command)
		}
		head = []byte{byte(wire.File), byte(i)}
	case i >= 0:
		head = []byte{byte(i)}
	case kind != "RAW":
		return nil, fmt.Errorf("no frame %q", kind)
	}
	body, err := strconv.Unquote(`"` + text + `"`)
	if kind == "RAW" {
		return []byte(body), err
	}
	return append(append(head, body...), 0), err
}

// observe takes what the clients are given, and what ended.
func (th *theatre) observe() []string {
	seen := th.report
	th.report = nil
	for _, p := range th.clients {
		why, closing := p.session.Closing()
		for out := p.take(); out != nil; out = p.take() {
			for _, f := range p.decode(out) {
				seen = append(seen, p.name+" < "+f)
			}
		}
		if closing && !p.ended && !p.stopped {
			p.ended = true
			seen = append(seen, fmt.Sprintf("%s ends: %v %v", p.name, why, p.session.State()))
		}
	}
	return seen
}

func (p *player) take() []byte {
	if p.stopped {
		return nil
	}
	out := slices.Clone(p.session.Next())
	if out != nil {
		p.session.Wrote(len(out))
	}
	return out
}

func (p *player) decode(out []byte) (frames []string) {
	for {
		f, rest, ok, err := p.decoder.Next(out)
		if err != nil {
			return append(frames, err.Error())
		}
		if !ok && p.decoder.Held() > 0 {
			return append(frames, "half a frame")
		}
		if !ok {
			return frames
		}
		out = rest
		words := []string{typeNames[f.Type]}
		if f.Type == wire.File {
			words = append(words, commandNames[f.Command])
		}
		if len(f.Body) > 0 {
			quoted := strconv.Quote(string(f.Body))
			words = append(words, quoted[1:len(quoted)-1])
		}
		frames = append(frames, strings.Join(words, " "))
	}
}

func (th *theatre) count() {
	st := th.room.Snapshot()
	ends := ""
	for why, n := range st.Ends {
		if n > 0 {
			ends += fmt.Sprintf(" %v=%d", Reason(why), n)
		}
	}
	th.report = append(th.report,
		fmt.Sprintf("clients=%d pending=%d granted=%d", st.Clients, st.Pending, st.Granted),
		fmt.Sprintf("logins=%d denials=%d messages=%d relayed=%d", st.Logins, st.Denials, st.Messages, st.Relayed),
		"ends:"+cmp.Or(ends, " none"))
}
