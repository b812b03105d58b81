package server

import (
	"errors"
	"strings"
	"testing"
	"time"

	"chatbench/backends"
)

func TestMisuse(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"nobody may log in", func(o *Options) { o.Open = false }, "say -users FILE"},
		{"both doors", func(o *Options) { o.Users = "x" }, "exclude each other"},
		{"open to the network", func(o *Options) { o.Listen = "0.0.0.0:0" }, "-open would let everybody"},
		{"even with -insecure", func(o *Options) { o.Listen, o.Insecure = ":0", true }, "-open would let everybody"},
		{"open on IPv6", func(o *Options) { o.Listen = "[::]:0" }, "-open would let everybody"},
		{"plaintext", func(o *Options) { o.Open, o.Users, o.Listen = false, "x", "192.0.2.1:1" }, "-insecure"},
		{"no port", func(o *Options) { o.Listen = "127.0.0.1" }, "no HOST:PORT"},
		{"no such host", func(o *Options) { o.Listen = "no.such.host.invalid:1" }, "no address of this machine"},
		{"less kept than may be owed", func(o *Options) { o.LagMax = 1 << 10 }, "-lag-max 1KiB is below 1MiB"},
		{"slow at once", func(o *Options) { o.LagTime = 0 }, "-lag-time is out of range"},
		{"frame too large", func(o *Options) { o.MaxFrame = 1 << 20 }, "-max-frame"},
		{"frame too small", func(o *Options) { o.MaxFrame = 10 }, "-max-frame"},
		{"negative", func(o *Options) { o.MaxPerAddress = -1 }, "-max-per-address is out of range"},
		{"no time", func(o *Options) { o.LoginTimeout = 0 }, "-login-timeout is out of range"},
		{"no time to drain", func(o *Options) { o.Drain = -time.Second }, "-drain is out of range"},
		{"certificate without a key", func(o *Options) { o.TLSCert = "x" }, "-tls-cert needs -tls-key"},
		{"key without a certificate", func(o *Options) { o.TLSKey = "x" }, "-tls-key needs -tls-cert"},
		{"origins of no page", func(o *Options) { o.WebOrigins = []string{"a.example"} }, "say where it is with -web"},
		{"page without a port", func(o *Options) { o.Web = "127.0.0.1" }, "-web \"127.0.0.1\" is no HOST:PORT"},
		{"open page", func(o *Options) { o.Web = "0.0.0.0:0" }, "-open would let everybody"},
		{"plaintext page", func(o *Options) { o.Open, o.Users, o.Web = false, "x", "192.0.2.1:1" }, "use 127.0.0.1 for -web"},
		{"file of no history", func(o *Options) { o.HistoryFile = "x" }, "-history-file needs -history"},
		{"endless history", func(o *Options) { o.History = maxHistory + 1 }, "-history is out of range"},
		{"no room", func(o *Options) { o.Cluster.URLs = "nats://x" }, "-cluster needs -cluster-room NAME"},
		{"bad room", func(o *Options) { o.Cluster.URLs, o.Cluster.Room = "nats://x", "a.b" }, "-cluster needs -cluster-room NAME"},
		{"room of no cluster", func(o *Options) { o.Cluster.Room = "a" }, "need -cluster URL"},
		{"history twice", func(o *Options) {
			o.Cluster.URLs, o.Cluster.Room, o.History, o.HistoryFile = "nats://x", "a", 1, "x"
		}, "-history-file cannot be used with -cluster"},
		{"frame too large for others", func(o *Options) { o.Cluster.URLs, o.Cluster.Room, o.MaxFrame = "nats://x", "a", 32<<10 }, "-max-frame 32768 is over 20480"},
		{"half a certificate", func(o *Options) { o.Cluster.URLs, o.Cluster.Room, o.Cluster.Cert = "nats://x", "a", "x" }, "belong together"},
		{"short stream", func(o *Options) { o.Cluster.URLs, o.Cluster.Room, o.Cluster.MaxAge = "nats://x", "a", time.Second }, "-cluster-age 1s is below 1m"},
		{"small stream", func(o *Options) { o.Cluster.URLs, o.Cluster.Room, o.Cluster.MaxBytes = "nats://x", "a", 1 }, "-cluster-size 1B is below 1MiB"},
		{"no copies", func(o *Options) { o.Cluster.URLs, o.Cluster.Room, o.Cluster.Replicas = "nats://x", "a", 0 }, "-cluster-replicas 0"},
		{"too many clients", func(o *Options) { o.MaxClients = 1 << 30 }, "lower it to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(new(logged))
			c.change(&o)
			s, err := Start(t.Context(), o)
			if err == nil {
				s.Stop(t.Context())
				t.Fatal("it starts")
			}
			if !errors.As(err, new(Misuse)) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want a misuse with %q", err, c.want)
			}
		})
	}
}

// Loopback has many names; a name that also means another address is none.
func TestOnlyLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.1.2.3": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true,
		"": false, "0.0.0.0": false, "::": false, "192.0.2.1": false, "::ffff:192.0.2.1": false,
	} {
		if got, err := onlyLoopback(t.Context(), host); err != nil || got != want {
			t.Errorf("onlyLoopback(%q) = %v, %v, want %v", host, got, err, want)
		}
	}
}

func TestFitClients(t *testing.T) {
	const nofile = 1064 // with the spare ones off: 1000
	for _, c := range []struct {
		asked, each, most, more int
		loops                   int // beside the first
		want                    int
		err                     string
	}{
		{asked: 1000, each: 1, want: 1000},
		{asked: 1001, each: 1, err: "needs 1065 descriptors with backend b, the file limit is 1064: lower it to 1000"},
		{asked: 334, each: 3, err: "lower it to 333"},
		{asked: 333, each: 3, want: 333},
		{asked: 333, each: 0, want: 333},
		{asked: 501, each: 1, most: 500, err: "backend b carries at most 500"},
		{asked: 500, each: 1, most: 500, want: 500},
		{asked: 0, each: 1, want: 1000},
		{asked: 0, each: 4, want: 250},
		{asked: 0, each: 1, most: 500, want: 500},
		{asked: 0, each: 2000, err: "no room for clients"},
		{asked: 0, each: 1, more: 2, want: 312}, // a connection, and two ends of another; 128 spare
		{asked: 313, each: 1, more: 2, err: "needs 1067 descriptors"},
		{asked: 2, each: 2000, err: "no room for clients"},
		{asked: 1, each: 1, loops: 255, err: "256 event loops of backend b leave no descriptors for clients, the file limit is 1064: lower -loops, or raise the limit"},
		{asked: 0, each: 1, loops: 255, err: "lower -loops"},
		{asked: 0, each: 1, loops: 10, want: 960},
		{asked: 961, each: 1, loops: 10, err: "needs 1065 descriptors"},
		{asked: 0, each: 1, loops: 10, more: 2, want: 298}, // 168 spare
		{asked: 0, each: 1, most: 300, more: 2, want: 100}, // the bound is one of descriptors
	} {
		b := backends.Backend{Name: "b", FDsPerClient: c.each, MaxClients: c.most}
		got, err := fitClients(c.asked, b, 1+c.loops, c.more, nofile, options(new(logged)).Log)
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%+v: %d, %v", c, got, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%+v: %v", c, err)
		}
	}
}
