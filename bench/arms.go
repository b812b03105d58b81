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

// armSpec is an arm with a name, from -arm.
type armSpec struct {
	name    string
	chatd   string // absolute path; "": the run's own chatd
	backend string // maybe with flags
}

// backendName is the form of a backend's name: see docs/chatd-interface.md.
const backendName = `[A-Za-z0-9][A-Za-z0-9-]*`

var backendPattern = regexp.MustCompile("^" + backendName + "$")

// armPattern is NAME=[CHATD:]BACKEND[@tls][@FLAG=VALUE…]. A path may contain anything; the
// form without a path is tried first.
var armPattern = regexp.MustCompile(`^([^=]*)=(?:(.+?):)??(` + backendName + `(?:@[^@/]*)*)$`)

// namePattern keeps the names of arms fit for files, tags and benchmark names.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// PlusSuffix is the end of the name of an arm whose server is the plan's other chatd (Plan.Plus).
const PlusSuffix = "+"

// parseArm parses the argument of -arm.
func parseArm(text string) (armSpec, error) {
	m := armPattern.FindStringSubmatch(text)
	if m == nil {
		return armSpec{}, fmt.Errorf("%w: %q is not an arm; write NAME=[CHATD:]BACKEND[@tls][@FLAG=VALUE…], like old=/tmp/old/chatd:epoll", ErrPlan, text)
	}
	s := armSpec{name: m[1], chatd: m[2], backend: m[3]}
	if !namePattern.MatchString(s.name) || strings.HasSuffix(s.name, record.AgainSuffix) || s.name == record.NullArm {
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

// Names returns the names of the arms, without the A/A arm.
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

// checkArms refuses arms that have the same name or cannot be parsed.
func (p Plan) checkArms() error {
	for _, text := range p.Arms {
		if _, err := parseArm(text); err != nil {
			return err
		}
	}
	names := p.Names()
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("%w: arm %s is listed twice; list each once (the A/A arm is added automatically)", ErrPlan, name)
		}
	}
	return nil
}

// reference is the plan's reference, or the default.
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

// arms returns the backends and the arms with names, and the reference a second time.
// known lists the backends of a chatd, "" being the run's own.
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

// tlsFlag stands in place of a flag of chatd for arms whose clients speak TLS.
const tlsFlag = "tls"

// arm parses NAME@FLAG=VALUE@…, and NAME@tls.
func (p Plan) arm(name string, known []Backend) (record.Arm, error) {
	parts := strings.Split(name, "@")
	i := slices.IndexFunc(known, func(b Backend) bool { return b.Name == parts[0] })
	if i < 0 {
		if parts[0] == All {
			return record.Arm{}, fmt.Errorf("%w: %s stands for every backend and cannot be combined with others; list the backends instead: %s", ErrPlan, All, strings.Join(names(known), ","))
		}
		return record.Arm{}, fmt.Errorf("%w %q; there are %s, and %s for every one", ErrBackend, parts[0], strings.Join(names(known), ", "), All)
	}
	b := known[i]
	if b.Unavailable != "" {
		return record.Arm{}, fmt.Errorf("%w: backend %s cannot run on this machine: %s", ErrPlan, b.Name, b.Unavailable)
	}
	a := record.Arm{Name: name, Backend: b.Name, Gaps: b.Gaps}
	for _, flag := range parts[1:] {
		if flag == tlsFlag {
			a.TLS = true
			continue
		}
		if n, ok := strings.CutPrefix(flag, cpusFlag+"="); ok {
			cpus, err := p.serverCPUs(n)
			if err != nil {
				return a, err
			}
			a.CPUs, a.Scales = cpus, strings.Replace(name, "@"+flag, "", 1)
			continue
		}
		name, _, _ := strings.Cut(flag, "=")
		if name == tlsFlag {
			return a, fmt.Errorf("%w: %q has a value; write BACKEND@%s for clients that speak TLS", ErrPlan, flag, tlsFlag)
		}
		if slices.Contains(chatdFlags, name) {
			return a, fmt.Errorf("%w: bench sets -%s of chatd itself; leave it out", ErrPlan, name)
		}
		if !flagPattern.MatchString(flag) {
			return a, fmt.Errorf("%w: %q is not a flag of chatd; write BACKEND@FLAG=VALUE, like process@spawn-ahead=64, or BACKEND@tls for clients that speak TLS", ErrPlan, flag)
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

// chatdFlags are the flags of chatd that the bench sets itself, or that make chatd exit.
var chatdFlags = []string{"backend", "listen", "open", "users", "json", "list", "flood", "announce", "login-throttle", "max-per-address", "tls-cert", "tls-key"}

// isLoops says whether an argument of chatd sets its number of event loops.
func isLoops(arg string) bool { return strings.HasPrefix(arg, "-loops=") }

// flagPattern keeps the names of arms fit for files, tags and benchmark names.
var flagPattern = regexp.MustCompile(`^[a-z][a-z-]*=[A-Za-z0-9.:-]+$`)
