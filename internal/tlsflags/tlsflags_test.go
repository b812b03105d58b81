package tlsflags

import (
	"crypto/x509"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatbench/internal/certtest"
)

// given parses a command line.
func given(t *testing.T, args ...string) *Flags {
	t.Helper()
	var f Flags
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	f.Define(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &f
}

func TestConfig(t *testing.T) {
	if cfg, err := given(t).Config(); cfg != nil || err != nil {
		t.Errorf("without flags: %v, %v", cfg, err)
	}
	certFile, _ := certtest.Write(t, t.TempDir(), time.Hour, "chat.example")
	cfg, err := given(t, "-tls", "-ca", certFile, "-tls-server-name", "chat.example", "-insecure-skip-verify").Config()
	if err != nil || cfg.RootCAs == nil || cfg.ServerName != "chat.example" || !cfg.InsecureSkipVerify {
		t.Errorf("with all flags: %+v, %v", cfg, err)
	}
	if cfg, err := given(t, "-tls").Config(); err != nil || cfg == nil || cfg.RootCAs != nil || cfg.InsecureSkipVerify {
		t.Errorf("with -tls alone: %+v, %v", cfg, err)
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range [][]string{{"-ca", "x"}, {"-tls-server-name", "x"}, {"-insecure-skip-verify"}} {
		_, err := given(t, args...).Config()
		if !errors.As(err, new(NeedsTLS)) || !strings.HasPrefix(err.Error(), args[0]+" needs -tls") {
			t.Errorf("%v: %v", args, err)
		}
	}
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{none: "there is no certificate in " + none, none + ".x": "no such file"} {
		_, err := given(t, "-tls", "-ca", file).Config()
		if err == nil || errors.As(err, new(NeedsTLS)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

// The other errors of Explain are tested with such servers, in package client.
func TestNotValidYet(t *testing.T) {
	early := &x509.Certificate{NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}
	if err := validity(early, time.Now()); !strings.Contains(err.Error(), "clock") {
		t.Errorf("not valid yet: %v", err)
	}
	if err := errors.New("something else"); Explain(err, "") != err {
		t.Error("an unknown error is not returned unchanged")
	}
}
