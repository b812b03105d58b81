// Package users is the user store: an htpasswd file with lines of the form name:hash,
// where the hash is one of bcrypt. Empty lines and lines that begin with # are kept and
// ignored.
//
// It refuses weak hashes, hashes of other kinds, passwords that are too long for bcrypt,
// and a file with even one bad line, because an incomplete list of users is worse than
// the old one. It has no cache, watches no file and starts no goroutine.
//
// A *Users is the content of the file when it was loaded. It never changes, so any
// goroutine may use it. Add, SetPassword and Delete change the file, one process at a
// time, and replace it as a whole, so that a server may load it at any moment.
package users

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"chatbench/core"
)

const (
	// MaxPassword is the longest password in octets: bcrypt ignores what follows.
	MaxPassword = 72
	// MinCost and MaxCost bound the bcrypt cost of a hash in the file: below,
	// guessing is cheap; above, one login takes seconds of a processor.
	MinCost = 10
	MaxCost = 14
)

// newCost is the bcrypt cost of new passwords: about 65 ms of a processor. leastCost is
// the least cost in a file. Tests lower both.
var newCost, leastCost = MinCost, MinCost

// Why a change of the file is refused.
var (
	ErrExists   = errors.New("users: the user exists already: use passwd to change the password")
	ErrUnknown  = errors.New("users: there is no such user: list shows the users, add makes one")
	ErrPassword = errors.New("users: invalid password")
)

// compare is bcrypt's comparison; tests count its calls.
var compare = bcrypt.CompareHashAndPassword

// Users is the content of a file.
type Users struct {
	names  []string          // in the file's order
	hashes map[string][]byte // by folded name
	costs  []int             // of every hash, in the file's order
	decoys map[int][]byte    // hashes of no known password, by cost
	seed   maphash.Seed
}

// Load reads a file. The error for a bad file names the line.
func Load(path string) (*Users, error) {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("users: there is no file %s: chatd user add %s NAME makes it", path, path)
	case err != nil:
		return nil, fmt.Errorf("users: %w", err)
	}
	u, _, err := parse(path, data)
	return u, err
}

// Len is the number of users.
func (u *Users) Len() int { return len(u.names) }

// Names lists the users, in the file's order.
func (u *Users) Names() []string { return append([]string(nil), u.names...) }

// Known says whether there is a user of that name, folded as core.CheckName folds it.
func (u *Users) Known(folded string) bool { return u.hashes[folded] != nil }

// SamePassword says whether a user has the same password hash here and in other. It
// is false if one of them does not know the user.
func (u *Users) SamePassword(other *Users, folded string) bool {
	return u.Known(folded) && bytes.Equal(u.hashes[folded], other.hashes[folded])
}

// Verify says whether name may log in with password. It hashes the password, which
// takes tens of milliseconds of a processor, and as long for an unknown name as for a
// known one.
func (u *Users) Verify(name, password string) bool {
	_, folded, err := core.CheckName(name)
	hash, known := u.hashes[folded]
	if err != nil || !known {
		hash, known = u.decoy(name), false
	}
	same := compare(hash, []byte(password)) == nil
	return same && known && len(password) <= MaxPassword
}

// decoy is the hash that is compared for an unknown name. Its cost is one of those in
// the file, always the same one for the same name. So the time of a denial does not
// reveal whether the name exists, even if costs are mixed.
func (u *Users) decoy(name string) []byte {
	if len(u.costs) == 0 {
		return u.decoys[newCost]
	}
	i := maphash.String(u.seed, name) % uint64(len(u.costs))
	return u.decoys[u.costs[i]]
}

// newDecoy makes a random hash, for which no password is known.
func newDecoy(cost int) []byte {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	tail := make([]byte, hashTail)
	rand.Read(tail) // never fails
	for i, b := range tail {
		tail[i] = alphabet[b%64]
	}
	return fmt.Appendf(nil, "$2a$%02d$%s", cost, tail)
}

// hashTail is how many characters of salt and hash follow the cost.
const hashTail = 53

var hashForm = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)

// parse parses a file's content. at has the index of the line of each folded name.
func parse(path string, data []byte) (u *Users, at map[string]int, err error) {
	u = &Users{
		hashes: make(map[string][]byte),
		decoys: map[int][]byte{newCost: newDecoy(newCost)},
		seed:   maphash.MakeSeed(),
	}
	at = make(map[string]int)
	for i, line := range splitLines(data) {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, found := strings.Cut(line, ":")
		if !found {
			return nil, nil, fmt.Errorf("users: %s:%d: no colon: write NAME:HASH, as chatd user add does", path, i+1)
		}
		canonical, folded, err := core.CheckName(name)
		if err != nil {
			return nil, nil, fmt.Errorf("users: %s:%d: bad name %q: %w", path, i+1, name, err)
		}
		if first, taken := at[folded]; taken {
			return nil, nil, fmt.Errorf("users: %s:%d: %q is in line %d already: delete one of them", path, i+1, name, first+1)
		}
		cost, err := checkHash(hash)
		if err != nil {
			return nil, nil, fmt.Errorf("users: %s:%d: %s: %w", path, i+1, canonical, err)
		}
		at[folded] = i
		u.names = append(u.names, canonical)
		u.hashes[folded] = []byte(hash)
		u.costs = append(u.costs, cost)
		if u.decoys[cost] == nil {
			u.decoys[cost] = newDecoy(cost)
		}
	}
	return u, at, nil
}

// splitLines splits data into lines, without their ends. An empty last line does not
// count.
func splitLines(data []byte) []string {
	text := strings.TrimSuffix(string(data), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(line, "\r")
	}
	return lines
}

// checkHash says what is wrong with a hash, but never shows it.
func checkHash(hash string) (cost int, err error) {
	parts := hashForm.FindStringSubmatch(hash)
	if parts == nil {
		return 0, errors.New("not a bcrypt hash: set the password with chatd user passwd, or with htpasswd -B -C 10")
	}
	cost, _ = strconv.Atoi(parts[1]) // two digits
	if cost < leastCost || cost > MaxCost {
		return 0, fmt.Errorf("the bcrypt cost %d is not in %d to %d: set the password again with chatd user passwd", cost, leastCost, MaxCost)
	}
	return cost, nil
}

// checkPassword returns an error for a password that bcrypt would cut short, or that a
// client cannot send.
func checkPassword(password string) error {
	switch {
	case password == "":
		return fmt.Errorf("%w: it is empty", ErrPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("%w: it has %d octets, at most %d are allowed: choose a shorter one", ErrPassword, len(password), MaxPassword)
	case strings.ContainsAny(password, "\x00\r\n"):
		return fmt.Errorf("%w: it contains a NUL or a line end, which no client can send", ErrPassword)
	}
	return nil
}
