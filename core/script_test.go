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
//	room KEY=VALUE…           a new room; see newScriptRoom
//	join NAME [IP]            a client connects, by default from 192.0.2.1
//	NAME > FRAME [+ FRAME]…   it sends frames in one piece; >> sends octet by octet
//	NAME stops, NAME goes on  it stops reading; it reads on
//	NAME leaves REASON        its connection is gone
//	grant NAME, deny NAME WHY the Authenticator answers, if the room has the setting late
//	wait DURATION             time passes
//	drain                     the server is going down
//	counters                  print the counters of the room
//
// FRAME is CHAT text, CRED text, CLOSE, FILE COMMAND text, or RAW octets, with
// Go's escapes. The indented lines after a line are its result: frames sent to clients
// (<), ends with reason and state, counters. They are compared, and rewritten
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
			got := runScript(t, string(want))
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

// runScript runs a script and returns it with the result after each line.
func runScript(t *testing.T, script string) string {
	var out strings.Builder
	var sr *scriptRoom
	for i, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "room"); ok {
			sr = newScriptRoom(t, rest)
			continue
		}
		if err := sr.do(line); err != nil {
			t.Fatalf("line %d: %q: %v", i+1, line, err)
		}
		for _, result := range sr.observe() {
			out.WriteString("  " + result + "\n")
		}
	}
	return out.String()
}

// scriptRoom is the room of a script and its named clients.
type scriptRoom struct {
	room    *Room
	late    bool // the Authenticator answers later
	now     time.Time
	clients []*scriptClient
	gone    []*scriptClient
	report  []string
	feeding *scriptClient
}

// scriptClient is one client of a script.
type scriptClient struct {
	name    string
	session *Session
	answer  func(error)
	decoder wire.Decoder
	stopped bool
	ended   bool
}

func (*scriptRoom) WakeRoom()     {}
func (*scriptRoom) Wake(*Session) {}

func (sr *scriptRoom) Authenticate(l *Login) {
	switch {
	case sr.late:
		sr.feeding.answer = l.Answer
	case l.Password == "wrong":
		l.Answer(errors.New("wrong name or password"))
	default:
		l.Answer(nil)
	}
}

// newScriptRoom makes a room from the settings of a room line: late, announce and claimed
// are switches; clients, pending, address, frame, lag and timeout are limits.
func newScriptRoom(t *testing.T, settings string) *scriptRoom {
	sr := &scriptRoom{now: time.Unix(1e9, 0)}
	cfg := Config{Authenticator: sr, Now: sr.now}
	for _, setting := range strings.Fields(settings) {
		key, value, _ := strings.Cut(setting, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "late":
			sr.late = true
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
	sr.room = NewRoom(cfg)
	return sr
}

func (sr *scriptRoom) do(line string) error {
	first, rest, _ := strings.Cut(line, " ")
	name, more, _ := strings.Cut(rest, " ")
	switch first {
	case "join":
		peer := netip.AddrPortFrom(netip.MustParseAddr(cmp.Or(more, "192.0.2.1")), 40000)
		p := &scriptClient{name: name, session: sr.room.Join(peer, sr, nil)}
		p.decoder.Max = wire.MaxFromServer
		sr.clients = append(sr.clients, p)
	case "wait":
		d, err := time.ParseDuration(rest)
		sr.now = sr.now.Add(d)
		sr.room.Tick(sr.now)
		return err
	case "drain":
		sr.room.Drain()
	case "counters":
		sr.count()
	case "grant", "deny":
		return sr.answer(first, name, more)
	default:
		p := sr.find(first)
		if p == nil {
			return errors.New("there is no client of that name")
		}
		return sr.act(p, name, more)
	}
	return nil
}

func (sr *scriptRoom) find(name string) *scriptClient {
	for _, p := range slices.Backward(sr.clients) {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (sr *scriptRoom) answer(verb, name, why string) error {
	i := slices.IndexFunc(sr.gone, func(p *scriptClient) bool { return p.name == name })
	p := sr.find(name)
	if p == nil && i >= 0 {
		p = sr.gone[i]
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

// act carries out an action of a client.
func (sr *scriptRoom) act(p *scriptClient, verb, rest string) error {
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
		sr.gone = append(sr.gone, p)
		sr.clients = slices.DeleteFunc(sr.clients, func(q *scriptClient) bool { return p == q })
	case ">", ">>":
		var in []byte
		for frame := range strings.SplitSeq(rest, " + ") {
			f, err := encode(frame)
			if err != nil {
				return err
			}
			in = append(in, f...)
		}
		sr.feeding = p
		step := len(in)
		if verb == ">>" {
			step = 1
		}
		for piece := range slices.Chunk(in, max(step, 1)) {
			p.session.Feed(piece)
			clear(piece) // the room must not keep it
		}
	default:
		return fmt.Errorf("unknown action %q", verb)
	}
	return nil
}

var (
	typeNames    = []string{"CHAT", "CRED", "FILE", "CLOSE"}
	commandNames = []string{"LS_REQ", "LS_START", "LS_BODY", "LS_END", "DN_REQ", "DN_ACK", "DN_NACK"}
)

// encode encodes a frame from its notation.
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

// observe returns the frames that the clients receive, and the ends of sessions.
func (sr *scriptRoom) observe() []string {
	seen := sr.report
	sr.report = nil
	for _, p := range sr.clients {
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

func (p *scriptClient) take() []byte {
	if p.stopped {
		return nil
	}
	out := slices.Clone(p.session.Next())
	if out != nil {
		p.session.Wrote(len(out))
	}
	return out
}

func (p *scriptClient) decode(out []byte) (frames []string) {
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

func (sr *scriptRoom) count() {
	st := sr.room.Snapshot()
	ends := ""
	for why, n := range st.Ends {
		if n > 0 {
			ends += fmt.Sprintf(" %v=%d", Reason(why), n)
		}
	}
	sr.report = append(sr.report,
		fmt.Sprintf("clients=%d pending=%d granted=%d", st.Clients, st.Pending, st.Granted),
		fmt.Sprintf("logins=%d denials=%d messages=%d relayed=%d", st.Logins, st.Denials, st.Messages, st.Relayed),
		"ends:"+cmp.Or(ends, " none"))
}
