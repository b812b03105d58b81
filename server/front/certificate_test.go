package front

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatbench/internal/certtest"
)

// Files that have changed are loaded again. If they do not belong together, the certificate in
// use stays in use.
func TestReload(t *testing.T) {
	dir, log := t.TempDir(), new(bytes.Buffer)
	certFile, keyFile := certtest.Write(t, dir, time.Hour, "one.example")
	c, err := LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	uses := func(want string) {
		t.Helper()
		if pair, err := c.get(nil); err != nil || pair.Leaf.DNSNames[0] != want {
			t.Fatalf("in use is %v, %v; want %s", pair.Leaf.DNSNames, err, want)
		}
	}
	c.reloadIfChanged()
	uses("one.example")
	if n := strings.Count(log.String(), "certificate loaded"); n != 1 {
		t.Errorf("loaded %d times though nothing changed", n)
	}
	certtest.Write(t, dir, 2*time.Hour, "two.example")
	c.reloadIfChanged()
	uses("two.example")
	if left := time.Until(c.Expires()); left < 100*time.Minute || left > 2*time.Hour {
		t.Errorf("expires in %v", left)
	}

	old, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	certtest.Write(t, dir, time.Hour, "three.example")
	fresh, _ := os.ReadFile(keyFile)
	os.WriteFile(keyFile, append(old, '\n'), 0o600) // the certificate is new, the key is not
	log.Reset()
	c.reloadIfChanged()
	c.reloadIfChanged()
	uses("two.example")
	if n := strings.Count(log.String(), "cannot load the certificate"); n != 1 || !strings.Contains(log.String(), certFile) || !strings.Contains(log.String(), keyFile) {
		t.Errorf("said %d times: %s", n, log)
	}
	os.WriteFile(keyFile, fresh, 0o600)
	c.reloadIfChanged()
	uses("three.example")

	os.Remove(certFile)
	if err := c.Reload(); err == nil || !strings.Contains(err.Error(), "there is no certificate "+certFile) {
		t.Errorf("without a certificate: %v", err)
	}
	uses("three.example")
}

// Files that could not be read are loaded again when their owner or mode has changed, which
// does not change their modification time.
func TestModeIsAChange(t *testing.T) {
	log := new(bytes.Buffer)
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "one.example")
	c, err := LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{certFile, keyFile} {
		mode := os.FileMode(0o600)
		await(t, "a change of mode is noticed: "+name, func() bool {
			mode ^= 0o040 // until the clock of the file system has moved on
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
			c.reloadIfChanged()
			return strings.Count(log.String(), "certificate loaded") == 2+i
		})
	}
}

// The log warns of a certificate that is expiring, when it is loaded and then once a day until
// another one is loaded.
func TestExpiring(t *testing.T) {
	dir, log := t.TempDir(), new(bytes.Buffer)
	certFile, keyFile := certtest.Write(t, dir, Expiring-time.Hour, "one.example")
	c, err := LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	warnings := func(at time.Duration, want int, text string) {
		t.Helper()
		c.mu.Lock()
		c.warn(now.Add(at))
		c.mu.Unlock()
		if n := strings.Count(log.String(), "level=WARN"); n != want || !strings.Contains(log.String(), text) {
			t.Errorf("after %v there are %d warnings, want %d and %q:\n%s", at, n, want, text, log)
		}
	}
	warnings(0, 1, `msg="the certificate expires soon: renew it; chatd loads the new one by itself" file=`+certFile)
	warnings(23*time.Hour, 1, "days=13")
	warnings(25*time.Hour, 2, "days=12")
	warnings(26*time.Hour, 2, "")
	warnings(Expiring, 3, `msg="the certificate has expired, so clients refuse it`)
	certtest.Write(t, dir, 2*Expiring, "two.example")
	log.Reset()
	c.reloadIfChanged()
	warnings(0, 0, "certificate loaded")
	warnings(Expiring-time.Hour, 0, "")
	warnings(Expiring+time.Hour, 1, "expires soon")
}

// The error for each kind of bad file says what to do.
func TestBadCertificates(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := certtest.Write(t, dir, time.Hour, "a.example")
	empty := filepath.Join(dir, "empty")
	os.WriteFile(empty, nil, 0o600)
	expiredDir := t.TempDir()
	expiredCert, expiredKey := certtest.Write(t, expiredDir, -time.Hour, "b.example")
	for want, files := range map[string][2]string{
		"there is no key":        {certFile, filepath.Join(dir, "none")},
		"both are PEM":           {empty, keyFile},
		"expired on":             {expiredCert, expiredKey},
		"is a directory":         {dir, keyFile},
		"certificate " + keyFile: {keyFile, certFile},
	} {
		if _, err := LoadCertificate(files[0], files[1], slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", files, err, want)
		}
	}
}

// The error for a key that the server's user must not read names the key's owner.
func TestUnreadableKey(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can look at files as somebody else")
	}
	dir := t.TempDir()
	certFile, keyFile := certtest.Write(t, dir, time.Hour, "a.example")
	for path := dir; path != "/" && path != os.TempDir(); path = filepath.Dir(path) {
		os.Chmod(path, 0o755)
	}
	os.Chmod(certFile, 0o644)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		_, err := LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
		done <- err
	}()
	err := <-done
	for _, want := range []string{"key " + keyFile, " cannot read key ", "it belongs to root, mode 0600", "chgrp"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}
