package command

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"chatbench/backends/epoll"
	"chatbench/core"
	"chatbench/internal/certtest"
	"chatbench/server"
)

// The loads work with TLS against chatd itself, and mistakes of a server, or in the
// flags, are one line.
func TestByTLS(t *testing.T) {
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "127.0.0.1")
	o := server.Defaults()
	o.Backend, o.Listen, o.Open, o.Announce = epoll.Backend, "127.0.0.1:0", true, false
	o.TLSCert, o.TLSKey = certFile, keyFile
	o.Flood, o.MaxPerAddress = core.Flood{}, 0
	o.Out, o.Log = io.Discard, slog.New(slog.NewTextHandler(io.Discard, nil))
	chatd, err := server.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer chatd.Stop(context.Background())
	secure := chatd.Addr().String()
	try := func(line string) (status int, stdout, stderr string) {
		line = strings.NewReplacer("$SECURE", secure, "$CERT", certFile).Replace(line)
		return output(context.Background(), strings.Fields(line)...)
	}
	for line, want := range map[string]string{
		"broadcast -server $SECURE -tls -ca $CERT -clients 20 -rate 200/s -duration 200ms -warmup 50ms -objective 10s": "none lost",
		"broadcast -server $SECURE -tls -insecure-skip-verify -clients 5 -window 4 -duration 100ms -warmup 0s":         "tls         TLS 1.3, TLS_",
		"relay -server $SECURE -tls -ca $CERT -pairs 3 -window 4 -duration 100ms -warmup 0s -chat-rate 50/s":           "none lost",
		"idle -server $SECURE -tls -ca $CERT -clients 40 -duration 50ms":                                               "connect to login",
	} {
		status, stdout, stderr := try(line)
		if status != exitOK || stderr != "" || !strings.Contains(stdout, want) || !strings.Contains(stdout, "\ntls  ") {
			t.Errorf("%s: status %d, stderr %q, no %q in\n%s", line, status, stderr, want, stdout)
		}
	}
	for line, want := range map[string]string{
		"broadcast -server $SECURE -rate 100/s -tls":                                       "its certificate is not signed by an authority that this machine trusts",
		"broadcast -server $SECURE -rate 100/s -tls -ca $CERT -tls-server-name no.example": `its certificate is not for "no.example"`,
		"broadcast -server $SECURE -rate 100/s":                                            "this server speaks TLS: connect with -tls",
		"broadcast -rate 100/s -tls -insecure-skip-verify -server " + serveNull(t):         "does not speak TLS",
	} {
		status, stdout, stderr := try(line)
		if status != exitFailed || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q, want %q", line, status, stdout, stderr, want)
		}
	}
}
