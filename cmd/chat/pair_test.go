package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/cmd/internal/ptytest"
)

// TestPair runs chat for two users, each on a terminal, and chatd, as processes of
// their own.
func TestPair(t *testing.T) {
	t.Run("talk", func(t *testing.T) { pairTalks(t, startChatd(t)) })
	t.Run("files", func(t *testing.T) { pairFetches(t, startChatd(t)) })
	t.Run("killed", func(t *testing.T) { pairIsKilled(t, startChatd(t)) })
	t.Run("docs", func(t *testing.T) { pairOfTheDocs(t, startChatd(t)) })
}

// startChatd runs a chatd until the end of the test.
func startChatd(t *testing.T) (addr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-listen", "127.0.0.1:0", "-open", "-flood", "off", "-login-throttle", "off")
	cmd.Args[0] = "chatd"
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	_, addr, found := strings.Cut(strings.TrimSpace(line), "listening on ")
	if err != nil || !found {
		t.Fatalf("chatd says %q, %v", line, err)
	}
	return addr
}

// person is one of the two users.
type person struct {
	*ptytest.Terminal
	name, shared, saved string
}

// startPerson runs chat for a user.
func startPerson(t *testing.T, addr, name, shared, saved string) *person {
	t.Helper()
	p := &person{name: name, shared: shared, saved: saved}
	p.Terminal = ptytest.Start(t, environment("NO_COLOR=1"), "chat", "-server", addr, "-user", name, "-share", shared, "-downloads", saved)
	p.AwaitLast(name + ">")
	return p
}

// enter types a line, waits until it is shown, and presses Enter.
func (p *person) enter(line string) {
	p.Type(line)
	p.AwaitLast(p.name + "> " + line)
	p.Type("\r")
}

var clock = regexp.MustCompile(`(?m)^[0-2][0-9]:[0-5][0-9] `)

// One user types Hangul while the other says 20 lines a second. After every syllable
// the typed row is right; the message is what was typed; and no line that came in
// between is damaged, lost or doubled.
func pairTalks(t *testing.T, addr string) {
	alice, bob := startPerson(t, addr, "alice", t.TempDir(), t.TempDir()), startPerson(t, addr, "bob", t.TempDir(), t.TempDir())
	const typed = "안녕하세요, 민수! 한글을 치는 동안에도 괜찮아요 ㅎㅎ"
	var saidBetween []string
	begun := time.Now()
	syllables := []rune(typed)
	for i, r := range syllables {
		line := fmt.Sprintf("줄 %d 사이에 끼어든다", i)
		saidBetween = append(saidBetween, "alice: "+line)
		alice.Type(line + "\r")
		bob.TypeSlowly(string(r), 5*time.Millisecond) // octet by octet
		bob.AwaitLast("bob> " + string(syllables[:i+1]))
		time.Sleep(time.Until(begun.Add(time.Duration(i+1) * 50 * time.Millisecond)))
	}
	alice.Await(saidBetween[len(saidBetween)-1] + "\r\n")
	bob.Await(saidBetween[len(saidBetween)-1] + "\r\n")
	bob.AwaitLast("bob> " + typed)
	bob.Type("\r")
	for _, p := range []*person{alice, bob} {
		p.Await("bob: " + typed + "\r\n")
		p.AwaitLast(p.name + ">")
		var said []string
		for _, row := range p.Rows() {
			if text := clock.ReplaceAllString(row, ""); strings.Contains(text, ": ") && !strings.HasPrefix(text, "server: ") {
				said = append(said, text)
			}
		}
		if want := append(slices.Clone(saidBetween), "bob: "+typed); !slices.Equal(said, want) {
			t.Errorf("%s sees\n%s\nwant\n%s", p.name, strings.Join(said, "\n"), strings.Join(want, "\n"))
		}
	}
	for _, p := range []*person{alice, bob} {
		p.Type("/bye\r")
		if code := p.Exit(); code != 0 {
			t.Errorf("%s: exit code %d", p.name, code)
		}
	}
}

const (
	composed   = "\ud55c\uae00 \ud30c\uc77c.txt" // 한글 파일.txt
	decomposed = "\u1112\u1161\u11ab\u1100\u1173\u11af \u1106\u116e\u11ab\u1109\u1165.txt"
)

// Various files are downloaded; one is cancelled and resumed.
func pairFetches(t *testing.T, addr string) {
	alice, bob := startPerson(t, addr, "alice", t.TempDir(), t.TempDir()), startPerson(t, addr, "bob", t.TempDir(), t.TempDir())
	big := make([]byte, 50_000_000)
	for i := range big {
		big[i] = byte(i) ^ byte(i>>9) ^ byte(i>>18)
	}
	content := map[string][]byte{"empty": nil, "one": {'1'}, "film.mkv": big, "a b 1 2.txt": []byte("spaces"), composed: []byte("NFC"), decomposed: []byte("NFD")}
	for name, data := range content {
		if err := os.WriteFile(filepath.Join(alice.shared, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bob.enter("/file ls alice")
	bob.Await("alice shares 6 files:\r\n")
	for _, name := range []string{"a b 1 2.txt", "empty", "film.mkv", "one", decomposed, composed} { // by octets
		bob.Await("  " + name + "\r\n")
	}
	bob.Type("/file dn alice empty one film.mkv \"a b 1 2.txt\" 한글\\ 파일.txt \"한글 문서.txt\"\r")
	for name, data := range content {
		if name == decomposed {
			name = "한글 문서.txt" // as it was asked for
		}
		bob.awaitAnywhere(t, "saved "+filepath.Join(bob.saved, name)+" from alice")
		if got, err := os.ReadFile(filepath.Join(bob.saved, name)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d octets, %v; want %d", name, len(got), err, len(data))
		}
	}
	if names := saved(t, bob.saved); len(names) != len(content) {
		t.Errorf("saved %q", names)
	}

	// A download is cancelled in the middle; the next try continues it.
	endless := filepath.Join(alice.shared, "endless")
	stretch(t, endless, 64<<30)
	bob.enter("/file dn alice endless")
	grown(t, bob.saved, 0)
	bob.Type("/file cancel\r")
	bob.Await("cancelled endless from alice; the next /file dn continues after the first ")
	alice.Await("sending endless to bob broke off")
	size := grown(t, bob.saved, 0) + 1<<20
	stretch(t, endless, size)
	bob.enter("/file dn alice endless")
	bob.Await("endless from alice: ")
	bob.Await(" came in an earlier try\r\n")
	if info, err := os.Stat(filepath.Join(bob.saved, "endless")); err != nil || info.Size() != size {
		t.Errorf("resumed: %v, %v", info, err)
	}
	for _, p := range []*person{alice, bob} {
		p.Type("\x04")
		if code := p.Exit(); code != 0 {
			t.Errorf("%s: exit code %d", p.name, code)
		}
	}
}

// awaitAnywhere waits for a text that may come before or after what was awaited last.
func (p *person) awaitAnywhere(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if strings.Contains(p.Seen(), text) {
			return
		}
	}
	t.Fatalf("%s was not shown %q", p.name, text)
}

// stretch makes a sparse file of that size.
func stretch(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("begin"); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}

// grown waits until the only unfinished download has more than before octets.
func grown(t *testing.T, dir string, before int64) (n int64) {
	t.Helper()
	for range 60_000 {
		if parts, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(parts) == 1 {
			if info, err := os.Stat(parts[0]); err == nil && info.Size() > before {
				return info.Size()
			}
		}
		time.Sleep(500 * time.Microsecond)
	}
	t.Fatal("nothing came")
	return 0
}

// Both clients are killed in the middle of a download, one after the other. The other
// one reports it and goes on, no incomplete file gets its final name, and a third try
// completes the file.
func pairIsKilled(t *testing.T, addr string) {
	from, to := t.TempDir(), t.TempDir()
	big := filepath.Join(from, "big")
	stretch(t, big, 64<<30) // too large to be completed here
	alice, bob := startPerson(t, addr, "alice", from, t.TempDir()), startPerson(t, addr, "bob", t.TempDir(), to)
	bob.enter("/file dn alice big")
	grown(t, to, 0)
	alice.Kill()
	bob.awaitAnywhere(t, "big from alice: broke off before the end")
	bob.awaitAnywhere(t, "server: alice has left")
	bob.Type("still here\r")
	bob.Await("bob: still here\r\n")
	came := grown(t, to, 0)

	alice = startPerson(t, addr, "alice", from, t.TempDir())
	bob.Type("/file dn alice big\r")
	grown(t, to, came)
	bob.Kill()
	alice.awaitAnywhere(t, "sending big to bob broke off")
	alice.awaitAnywhere(t, "server: bob has left")
	alice.Type("so am I\r")
	alice.Await("alice: so am I\r\n")
	if names := saved(t, to); len(names) != 1 || !strings.HasSuffix(names[0], ".part") {
		t.Errorf("after two ends there is %q", names)
	}

	size := grown(t, to, 0) + 1<<20
	stretch(t, big, size)
	bob = startPerson(t, addr, "bob", t.TempDir(), to)
	bob.enter("/file dn alice big")
	bob.Await(" came in an earlier try\r\n")
	if info, err := os.Stat(filepath.Join(to, "big")); err != nil || info.Size() != size || len(saved(t, to)) != 1 {
		t.Errorf("%v, %v in %q", info, err, saved(t, to))
	}
	alice.Type("/bye\r")
	bob.Type("/bye\r")
	if a, b := alice.Exit(), bob.Exit(); a != 0 || b != 0 {
		t.Errorf("exit codes %d and %d", a, b)
	}
}
