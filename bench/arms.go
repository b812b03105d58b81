package bench

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"chatbench/bench/record"
)

// armSpec is an arm that was given a name.
type armSpec struct {
	name    string
	chatd   string // path, absolute; "": the run's own
	backend string // maybe with flags
}

// backendName is how a backend may be named, as docs/chatd-interface.md has it.
const backendName = `[A-Za-z0-9][A-Za-z0-9-]*`

var backendForm = regexp.MustCompile("^" + backendName + "$")

// armForm is NAME=[CHATD:]BACKEND[@tls][@FLAG=VALUE…]. A path may hold anything; the
// form without one is tried first.
var armForm = regexp.MustCompile(`^([^=]*)=(?:(.+?):)??(` + backendName + `(?:@[^@/]*)*)$`)

// nameForm keeps arms' names fit for files, tags and benchmark names.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// PlusSuffix ends the name of a backend's arm of the plan's other chatd.
const PlusSuffix = "+"

// parseArm reads what -arm takes.
func parseArm(text string) (armSpec, error) {
	m := armForm.FindStringSubmatch(text)
	if m == nil {
		return armSpec{}, fmt.Errorf("%w: %q is no arm; write NAME=[CHATD:]BACKEND[@tls][@FLAG=VALUE…], like old=/tmp/old/chatd:epoll", ErrPlan, text)
	}
	s := armSpec{name: m[1], chatd: m[2], backend: m[3]}
	if !nameForm.MatchString(s.name) || strings.HasSuffix(s.name, record.AgainSuffix) || s.name == record.NullArm {
		return s, fmt.Errorf("%w: an arm cannot be named %q; give it letters, digits, dots and dashes, but not %q or a name that ends in %q", ErrPlan, s.name, record.NullArm, record.AgainSuffix)
	}
	if s.chatd != "" {
		path, err := filepath.Abs(s.chatd)
		if err != nil {
			return s, fmt.Errorf("bench: %w", err)
		}
		s.chatd = path
	}
	return s, nil
}

// Names are those of the arms, but for the A/A arm.
func (p Plan) Names() []string {
	var names []string
	for _, name := range p.Backends {
		if names = append(names, name); p.Plus != "" {
			names = append(names, name+PlusSuffix)
		}
	}
	for _, text := range p.Arms {
		name, _, _ := strings.Cut(text, "=")
		names = append(names, name)
	}
	return names
}

// checkArms refuses arms that cannot be told apart or not understood.
func (p Plan) checkArms() error {
	for _, text := range p.Arms {
		if _, err := parseArm(text); err != nil {
			return err
		}
	}
	names := p.Names()
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("%w: arm %s is listed twice; list each once (the A/A arm is added by itself)", ErrPlan, name)
		}
	}
	return nil
}

// reference is the plan's, or what takes its place.
func (p Plan) reference() string {
	names := p.Names()
	switch {
	case p.Reference != "":
		return p.Reference
	case p.Plus == "" && slices.Contains(names, "goroutine"):
		return "goroutine"
	}
	return names[0]
}

// arms is the backends and the arms that have names, and the reference once
// more. known is what a chatd says of its backends, "" being the run's own.
func (p Plan) arms(known func(chatd string) ([]Backend, error)) ([]record.Arm, error) {
	var arms []record.Arm
	add := func(name, chatd, backend string) error {
		has, err := known(chatd)
		if err != nil {
			return err
		}
		a, err := p.arm(backend, has)
		if errors.Is(err, ErrBackend) && chatd != "" {
			err = fmt.Errorf("%w (in %s)", err, chatd)
		}
		switch a.Name, a.Chatd = name, chatd; {
		case a.Scales == "" || chatd == "":
		case chatd == p.Plus:
			a.Scales += PlusSuffix
		default:
			a.Scales += " of " + chatd
		}
		arms = append(arms, a)
		return err
	}
	for _, name := range p.Backends {
		err := add(name, "", name)
		if err == nil && p.Plus != "" {
			err = add(name+PlusSuffix, p.Plus, name)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, text := range p.Arms {
		s, err := parseArm(text)
		if err == nil {
			err = add(s.name, s.chatd, s.backend)
		}
		if err != nil {
			return nil, err
		}
	}
	again := arms[slices.Index(p.Names(), p.reference())]
	again.Name, again.Again = again.Name+record.AgainSuffix, true
	return append(arms, again), nil
}

// byTLS stands for a flag of chatd's where clients are to speak TLS.
const byTLS = "tls"

// arm reads NAME@FLAG=VALUE@…, and NAME@tls.
func (p Plan) arm(name string, known []Backend) (record.Arm, error) {
	parts := strings.Split(name, "@")
	i := slices.IndexFunc(known, func(b Backend) bool { return b.Name == parts[0] })
	if i < 0 {
		if parts[0] == All {
			return record.Arm{}, fmt.Errorf("%w: %s is every backend and stands alone; to add others, list them: %s", ErrPlan, All, strings.Join(names(known), ","))
		}
		return record.Arm{}, fmt.Errorf("%w %q; there are %s, and %s for every one", ErrBackend, parts[0], strings.Join(names(known), ", "), All)
	}
	b := known[i]
	if b.Unavailable != "" {
		return record.Arm{}, fmt.Errorf("%w: backend %s cannot run on this machine: %s", ErrPlan, b.Name, b.Unavailable)
	}
	a := record.Arm{Name: name, Backend: b.Name, Gaps: b.Gaps}
	for _, flag := range parts[1:] {
		if flag == byTLS {
			a.TLS = true
			continue
		}
		if n, ok := strings.CutPrefix(flag, byCPUs+"="); ok {
			cpus, err := p.size(n)
			if err != nil {
				return a, err
			}
			a.CPUs, a.Scales = cpus, strings.Replace(name, "@"+flag, "", 1)
			continue
		}
		name, _, _ := strings.Cut(flag, "=")
		if name == byTLS {
			return a, fmt.Errorf("%w: %q has a value; write BACKEND@%s for clients that speak TLS", ErrPlan, flag, byTLS)
		}
		if slices.Contains(chatdFlags, name) {
			return a, fmt.Errorf("%w: -%s of chatd is the bench's own; it cannot be a backend's", ErrPlan, name)
		}
		if !flagForm.MatchString(flag) {
			return a, fmt.Errorf("%w: %q is no flag of chatd's; write BACKEND@FLAG=VALUE, like process@spawn-ahead=64, or BACKEND@tls for clients that speak TLS", ErrPlan, flag)
		}
		a.Args = append(a.Args, "-"+flag)
	}
	if a.CPUs != nil && b.Loops > 0 && !slices.ContainsFunc(a.Args, isLoops) {
		a.Args = append(a.Args, fmt.Sprintf("-loops=%d", len(a.CPUs)))
	}
	if p.Scenario == record.Idle {
		most := p.Clients
		if b.MaxClients > 0 {
			most = min(most, b.MaxClients)
		}
		if b.PerClient != "" && p.Heavy > 0 {
			most = min(most, p.Heavy)
		}
		if most < p.Clients {
			a.Clients = most
		}
	}
	return a, nil
}

// chatdFlags are the flags that chatd gets of the bench, or that end it.
var chatdFlags = []string{"backend", "listen", "open", "users", "json", "list", "flood", "announce", "login-throttle", "max-per-address", "tls-cert", "tls-key"}

// isLoops says whether an argument of chatd's is its number of event loops.
func isLoops(arg string) bool { return strings.HasPrefix(arg, "-loops=") }

// flagForm keeps arms' names fit for files, tags and benchmark names.
var flagForm = regexp.MustCompile(`^[a-z][a-z-]*=[A-Za-z0-9.:-]+$`)
