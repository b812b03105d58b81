package gate

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"chatbench/core"
)

// MaxBans is the greatest number of bans.
const MaxBans = 10_000

// Ban is a ban of a user or a network. It has either a name or a prefix.
type Ban struct {
	Name   string       `json:"name,omitempty"`
	Prefix netip.Prefix `json:"prefix,omitzero"`
	Since  time.Time    `json:"since,omitzero"`
	Until  time.Time    `json:"until,omitzero"` // zero: for good

	folded string // Name, in the form in which names are compared
}

// Target is the name or the network, as an operator types it.
func (b Ban) Target() string {
	switch {
	case b.Name != "":
		return b.Name
	case b.Prefix.IsSingleIP() && b.Prefix.Addr().Is4():
		return b.Prefix.Addr().String()
	}
	return b.Prefix.String()
}

// Expels says whether a user in the room is banned by this ban.
func (b Ban) Expels(u core.User) bool {
	return b.Name != "" && b.folded == u.Folded || b.Prefix.Contains(normalized(u.Peer.Addr()))
}

// KnownBan is false for a ban of a name if there is no such user, and true otherwise.
func (g *Gate) KnownBan(b Ban) bool { return b.Name == "" || g.Known(b.folded) }

func (b Ban) over(now time.Time) bool { return !b.Until.IsZero() && !now.Before(b.Until) }

// normalized is an address in the form in which addresses are compared.
func normalized(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// banOf parses the target of a ban: an address, a prefix, or otherwise a name. An IPv6 address
// means its /64, as in all limits by address.
func banOf(target string) (Ban, error) {
	addr, err := netip.ParseAddr(target)
	switch {
	case err == nil:
		return prefixBan(newAttempt(addr, "").from)
	case strings.Contains(target, "/"):
		prefix, err := netip.ParsePrefix(target)
		if err != nil {
			return Ban{}, fmt.Errorf("gate: %q is not a prefix: give one such as 203.0.113.0/24 or 2001:db8::/48", target)
		}
		return prefixBan(prefix)
	}
	return nameBan(target)
}

func nameBan(name string) (Ban, error) {
	canonical, folded, err := core.CheckName(name)
	if err != nil {
		return Ban{}, fmt.Errorf("gate: %q is neither an address nor a name: %w", name, err)
	}
	return Ban{Name: canonical, folded: folded}, nil
}

func prefixBan(p netip.Prefix) (Ban, error) {
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return Ban{}, fmt.Errorf("gate: %v is not a prefix of IPv4 addresses: write it as in 203.0.113.0/24", p)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	p = p.Masked()
	if p.Overlaps(netip.MustParsePrefix("127.0.0.0/8")) || p.Contains(netip.IPv6Loopback()) {
		return Ban{}, fmt.Errorf("gate: %v contains addresses of this machine, which all clients have behind a proxy on it: ban names, or other addresses", p)
	}
	return Ban{Prefix: p}, nil
}

// banned is a set of bans. It never changes.
type banned struct {
	names    map[string]Ban // by folded name
	prefixes map[netip.Prefix]Ban
	lengths  [2][]int // the different lengths of the prefixes, IPv4 and IPv6: at most 33 and 129
}

// newBanned makes a set of the bans in a list that have not ended. Of two bans for the same
// target the later one counts.
func newBanned(list []Ban, now time.Time) (*banned, error) {
	b := &banned{names: make(map[string]Ban), prefixes: make(map[netip.Prefix]Ban)}
	for _, one := range list {
		switch {
		case one.over(now):
		case one.Name != "":
			b.names[one.folded] = one
		default:
			b.prefixes[one.Prefix] = one
		}
	}
	if n := len(b.names) + len(b.prefixes); n > MaxBans {
		return nil, fmt.Errorf("gate: %d bans, at most %d are allowed: ban shorter prefixes, or lift some (chatd ctl bans lists them)", n, MaxBans)
	}
	for p := range b.prefixes {
		f := family(p.Addr())
		if !slices.Contains(b.lengths[f], p.Bits()) {
			b.lengths[f] = append(b.lengths[f], p.Bits())
		}
	}
	return b, nil
}

func family(addr netip.Addr) int {
	if addr.Is4() {
		return 0
	}
	return 1
}

// address says whether an address is banned. It does one look-up for each length of prefix,
// however many bans there are.
func (b *banned) address(addr netip.Addr, now time.Time) bool {
	addr = normalized(addr)
	for _, bits := range b.lengths[family(addr)] {
		prefix, _ := addr.Prefix(bits) // for the zero Addr it is the zero Prefix, which is not banned
		if ban, found := b.prefixes[prefix]; found && !ban.over(now) {
			return true
		}
	}
	return false
}

func (b *banned) name(folded string, now time.Time) bool {
	ban, found := b.names[folded]
	return found && !ban.over(now)
}

// count is how many bans have not ended.
func (b *banned) count(now time.Time) (n int) {
	for _, one := range b.names {
		if !one.over(now) {
			n++
		}
	}
	for _, one := range b.prefixes {
		if !one.over(now) {
			n++
		}
	}
	return n
}

// all lists the bans that have not ended, names first.
func (b *banned) all(now time.Time) []Ban {
	list := slices.SortedFunc(maps.Values(b.names), func(x, y Ban) int { return strings.Compare(x.folded, y.folded) })
	list = append(list, slices.SortedFunc(maps.Values(b.prefixes), func(x, y Ban) int {
		if c := x.Prefix.Addr().Compare(y.Prefix.Addr()); c != 0 {
			return c
		}
		return x.Prefix.Bits() - y.Prefix.Bits()
	})...)
	return slices.DeleteFunc(list, func(one Ban) bool { return one.over(now) })
}

// bans holds the bans of a gate, and their file.
type bans struct {
	path    string
	now     atomic.Pointer[banned] // never nil after load
	unsaved bool                   // the last change is not in the file; guarded by Gate.changing
}

// forbids says whether a login is banned, by its name or by its address.
func (b *bans) forbids(l *core.Login) bool {
	set, now := b.now.Load(), time.Now()
	return set.name(l.Folded, now) || set.address(l.Peer.Addr(), now)
}

// expels says whether a user in the room is banned.
func (b *bans) expels(u core.User) bool {
	set, now := b.now.Load(), time.Now()
	return set.name(u.Folded, now) || set.address(u.Peer.Addr(), now)
}

// Bans lists the bans, names first, then networks.
func (g *Gate) Bans() []Ban { return g.bans.now.Load().all(time.Now()) }

// Ban bans a name, an address or a prefix for a duration; 0 is for good. It replaces a ban of the
// same target. If the error is a NotSaved, only the file could not be written: the ban is in force
// until the process ends, and the next change and each Reload try again to save it.
//
// Users in the room stay there: the caller has to kick those that Ban.Expels.
func (g *Gate) Ban(target string, d time.Duration) (Ban, error) {
	ban, err := banOf(target)
	if err != nil {
		return Ban{}, err
	}
	ban.Since = time.Now().Truncate(time.Second)
	if d > 0 {
		ban.Until = ban.Since.Add(d).Truncate(time.Second)
	}
	return ban, g.change(func(list []Ban) ([]Ban, error) { return append(list, ban), nil })
}

// Unban lifts the ban of exactly this name, address or prefix. A NotSaved is as for Ban.
func (g *Gate) Unban(target string) error {
	ban, err := banOf(target)
	if err != nil {
		return err
	}
	return g.change(func(list []Ban) ([]Ban, error) {
		left := slices.DeleteFunc(list, func(one Ban) bool { return one.folded == ban.folded && one.Prefix == ban.Prefix })
		if len(left) == len(list) {
			return nil, fmt.Errorf("gate: there is no ban of %s: chatd ctl bans lists the bans", ban.Target())
		}
		return left, nil
	})
}

// NotSaved means that a change of the bans is in force, but not in the file.
type NotSaved struct{ Err error }

func (e NotSaved) Error() string {
	return fmt.Sprintf("gate: it is in force until the server ends, but is not saved: %v", e.Err)
}

func (e NotSaved) Unwrap() error { return e.Err }

// change changes the bans and saves them.
func (g *Gate) change(edit func([]Ban) ([]Ban, error)) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	list, err := edit(g.Bans())
	if err != nil {
		return err
	}
	set, err := newBanned(list, time.Now())
	if err != nil {
		return err
	}
	g.exchange(func() { g.bans.now.Store(set) })
	switch err := g.bans.save(); {
	case errors.Is(err, errNoFile):
		return nil
	case err != nil:
		return NotSaved{err}
	}
	return nil
}
