package users

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// cheapCost keeps the tests quick, most of all under the race detector.
const cheapCost = bcrypt.MinCost

// hash is a real one of the password "secret".
var hash string

func TestMain(m *testing.M) {
	h, err := bcrypt.GenerateFromPassword([]byte("secret"), cheapCost)
	if err != nil {
		panic(err)
	}
	hash = string(h)
	newCost, leastCost = cheapCost, cheapCost
	os.Exit(m.Run())
}

// costed is hash with another cost written into it.
func costed(cost int) string {
	return strings.Replace(hash, "$04$", fmt.Sprintf("$%02d$", cost), 1)
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, path string) *Users {
	t.Helper()
	u, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestVerify(t *testing.T) {
	u := load(t, write(t, "# staff\n\nalice:"+hash+"\r\n한글:"+strings.Replace(hash, "$2a$", "$2y$", 1)))
	for _, c := range []struct {
		name, password string
		want           bool
	}{
		{"alice", "secret", true},
		{"ALICE", "secret", true},                                // names are compared folded
		{"한글", "secret", true},                                   // and htpasswd's form of a hash will do
		{"\u1112\u1161\u11ab\u1100\u1173\u11af", "secret", true}, // in either Unicode form
		{"alice", "Secret", false},
		{"alice", "", false},
		{"alice", "secret ", false},
		{"bob", "secret", false},
		{"", "secret", false},
		{"a b", "secret", false},
		{"# staff", "", false},
	} {
		if got := u.Verify(c.name, c.password); got != c.want {
			t.Errorf("Verify(%q, %q) = %v, want %v", c.name, c.password, got, c.want)
		}
	}
	if got, want := u.Names(), []string{"alice", "한글"}; !slices.Equal(got, want) || u.Len() != 2 {
		t.Errorf("Names() = %q, want %q", got, want)
	}
}

// A password of 72 octets is taken whole; with one more bcrypt would take it
// for the same one.
func TestSeventyTwoOctets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.txt")
	right := strings.Repeat("한", 24)
	if len(right) != MaxPassword {
		t.Fatal("the test's password has the wrong length")
	}
	if err := Add(path, "alice", right); err != nil {
		t.Fatal(err)
	}
	u := load(t, path)
	if !u.Verify("alice", right) {
		t.Error("72 octets: the right password is denied")
	}
	if u.Verify("alice", right+"x") {
		t.Error("the right 72 octets and one more are let in")
	}
	if u.Verify("alice", right[:71]) {
		t.Error("71 of the 72 octets are let in")
	}
	for _, bad := range []string{right + "x", "", "a\x00b", "a\nb"} {
		err := Add(path, "bob", bad)
		if !errors.Is(err, ErrPassword) {
			t.Errorf("Add with a password of %d octets: %v, want ErrPassword", len(bad), err)
		}
		if err := SetPassword(path, "alice", bad); !errors.Is(err, ErrPassword) {
			t.Errorf("SetPassword to one of %d octets: %v, want ErrPassword", len(bad), err)
		}
	}
	if err := Add(path, "bob", right+"x"); !strings.Contains(err.Error(), "73 octets, at most 72 are allowed") {
		t.Errorf("the refusal gives no reason: %v", err)
	}
}

func TestBadFile(t *testing.T) {
	newCost, leastCost = MinCost, MinCost
	defer func() { newCost, leastCost = cheapCost, cheapCost }()
	cheap, hash := costed(9), costed(10)
	for _, c := range []struct{ text, want string }{
		{"alice", ":1: no colon"},
		{"\n# x\nalice", ":3: no colon"},
		{"alice:" + hash + "\nserver:" + hash, ":2: bad name"},
		{"a b:" + hash, ":1: bad name"},
		{":" + hash, ":1: bad name"},
		{"alice:" + hash + "\n\nAlice:" + hash, `:3: "Alice" is in line 1 already`},
		{"alice:" + cheap, ":1: alice: the bcrypt cost 9 is not in 10 to 14"},
		{"alice:" + costed(31), "bcrypt cost 31"},
		{"alice:" + hash[:len(hash)-1], "not a bcrypt hash"},
		{"alice:" + hash + ":admin", "not a bcrypt hash"},
		{"alice:" + strings.Replace(hash, "$2a$", "$2x$", 1), "not a bcrypt hash"},
		{"alice:$apr1$abcdefgh$0123456789012345678901", "not a bcrypt hash"},
		{"alice:" + hash[:20] + "!" + hash[21:], "not a bcrypt hash"},
	} {
		path := write(t, c.text)
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Load of %q: %v, want %q", c.text, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), hash[10:30]) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error shows a hash or has several lines: %v", err)
		}
		if err := Delete(path, "alice"); err == nil {
			t.Errorf("a change to a bad file %q succeeds", c.text)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "chatd user add") {
		t.Errorf("Load of no file does not say what to do: %v", err)
	}
}

// The decoys are what an unknown name is compared with: they have to be real
// work, of the costs the file has, and the same each time.
func TestDecoys(t *testing.T) {
	u := load(t, write(t, "alice:"+costed(5)+"\nbob:"+costed(6)))
	seen := make(map[int]bool)
	for i := range 64 {
		name := fmt.Sprint("unknown", i)
		decoy := u.decoy(name)
		if again := u.decoy(name); string(again) != string(decoy) {
			t.Fatalf("%s: two decoys", name)
		}
		cost, err := checkHash(string(decoy))
		if err != nil {
			t.Fatalf("decoy %q: %v", decoy, err)
		}
		seen[cost] = true
	}
	if len(seen) != 2 || !seen[5] || !seen[6] {
		t.Errorf("decoys of costs %v, want 5 and 6", seen)
	}
	// Whatever is wrong, it costs one comparison, with a hash of a cost of the file's.
	works := 0
	compare = func(hash, password []byte) error {
		if _, err := checkHash(string(hash)); err != nil {
			t.Errorf("compared with %q: %v", hash, err)
		}
		works++
		return nil // and a decoy that fits lets nobody in
	}
	defer func() { compare = bcrypt.CompareHashAndPassword }()
	for _, name := range []string{"mallory", "a b", "", "server"} {
		if u.Verify(name, "x") {
			t.Errorf("%q is let in by a decoy", name)
		}
	}
	u.Verify("alice", strings.Repeat("x", MaxPassword+1))
	if works != 5 {
		t.Errorf("5 logins cost %d comparisons", works)
	}
	// A decoy that cannot be decoded would be compared in no time.
	if err := bcrypt.CompareHashAndPassword(u.decoy("x"), []byte("y")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Errorf("comparing with a decoy: %v", err)
	}
	if empty := load(t, write(t, "")); empty.decoy("x") == nil {
		t.Error("an empty file has no decoy")
	}
}

// A server that loads a file again asks who is gone, and whose password is another.
func TestSamePassword(t *testing.T) {
	before := load(t, write(t, "alice:"+costed(4)+"\nbob:"+costed(4)+"\ncarol:"+costed(4)))
	after := load(t, write(t, "Alice:"+costed(4)+"\nbob:"+costed(5)+"\ndave:"+costed(4)))
	for _, c := range []struct {
		name              string
		known, unaffected bool
	}{{"alice", true, true}, {"bob", true, false}, {"carol", false, false}, {"dave", true, false}, {"eve", false, false}} {
		if after.Known(c.name) != c.known || after.SamePassword(before, c.name) != c.unaffected {
			t.Errorf("%s: known %v, same password %v", c.name, after.Known(c.name), after.SamePassword(before, c.name))
		}
	}
}
