package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"time"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/units"
	"chatbench/core/wire"
	"chatbench/server/cluster"
)

// DefaultMaxClients is the pool where nobody asked for another, or less if the
// transport or the file limit cannot carry as many.
const DefaultMaxClients = 10_000

// mostHistory bounds Options.History: of each line a server keeps a copy in memory.
const mostHistory = 10_000

// leastLagMax is room for the largest frames that one client can have the room
// make at once.
const leastLagMax = 1 << 20

// Options is what a server is made of.
type Options struct {
	Backend backends.Backend
	// Backends are all that the program has, for an error to name others; nil: it does not.
	Backends []backends.Backend
	Listen   string // TCP address; a loopback one unless there is a certificate, or Insecure
	// Sockets that another process has opened: each takes the place of Listen, Web or
	// Admin. Start closes them with the server, and when it fails.
	Sockets Sockets

	Users    string // path of the users file; "" with Open
	Open     bool   // any password lets in
	Insecure bool   // passwords may cross a network unencrypted

	// TLS is spoken where Listen says if there is a certificate; both files are PEM.
	TLSCert, TLSKey string
	TLSMin          uint16 // the oldest version that is spoken: tls.VersionTLS13 or 12

	Web        string         // TCP address of the browser page, "" for none
	WebOrigins []string       // further hosts whose pages may connect, see web.Config
	ProxyFrom  []netip.Prefix // proxies: what comes from them begins with a PROXY header

	History     int    // lines that newcomers are told of what was said before; 0: none
	HistoryFile string // where they outlive the server, "" for nowhere

	MaxClients       int // 0: as many of DefaultMaxClients as fit
	MaxPending       int // 0: a quarter of the pool, at least 64
	MaxPerAddress    int // 0: no limit
	MaxFrame         int
	LoginTimeout     time.Duration
	LagLimit         int
	LagTime          time.Duration
	LagMax           int        // 0: 64 times LagLimit, at least 4 MiB
	Flood            core.Flood // zero: off
	Announce         bool
	AdvertiseClaimed bool       // relay the address a sharer claims, not the one it has
	LoginThrottle    units.Rate // wrong passwords by address and name, perAddress times as many by address; 0 is off

	Cluster cluster.Config // the other servers of the room; without URLs there are none. Log, History and Entering are set by Start

	Operations // what an operator has besides signals

	Coalesce   backends.Coalesce
	SendBuffer int // SO_SNDBUF; 0 leaves it to the kernel
	Backlog    int
	SpawnAhead int // processes that wait for clients, where there is one for each
	Loops      int // event loops, where their number can be chosen; 0: as many as the backend has by default
	Linger     time.Duration
	Drain      time.Duration // how long the end may take before connections are cut

	JSON bool      // readiness and end as JSON lines
	Out  io.Writer // where they go, and the line for people
	Log  *slog.Logger
}

// Misuse is an error in what was asked for, as against one of the machine. Its
// text names the flags of chatd.
type Misuse struct{ text string }

func (m Misuse) Error() string { return "server: " + m.text }

func misuse(format string, args ...any) error {
	return Misuse{fmt.Sprintf(format, args...)}
}

// check refuses options that cannot be meant, for the first of their problems.
func (o *Options) check(ctx context.Context) error {
	if all := o.problems(ctx); len(all) > 0 {
		return all[0]
	}
	return nil
}

// problems is why options cannot be meant: each is a Misuse.
func (o *Options) problems(ctx context.Context) (all []error) {
	refuse := func(is bool, format string, args ...any) {
		if is {
			all = append(all, misuse(format, args...))
		}
	}
	refuse(o.Open && o.Users != "", "-open and -users FILE exclude each other: leave one out")
	refuse(!o.Open && o.Users == "", "who may log in? say -users FILE (chatd user add makes one), or -open for any password")
	refuse(o.SpawnAhead > 0 && o.Backend.PerClient != backends.OwnProcess,
		"-spawn-ahead is for a backend with a process for each client, not for %s: leave it out", o.Backend.Name)
	refuse(o.Loops > 0 && o.Backend.Loops == nil,
		"-loops is not for backend %s: leave it out, or use %s", o.Backend.Name, cmp.Or(backends.Looping(o.Backends), "a backend whose number of event loops can be chosen"))
	refuse(o.LagMax > 0 && o.LagMax < max(o.LagLimit, leastLagMax),
		"-lag-max %v is below %v: raise it, or leave it out", units.Size(o.LagMax), units.Size(max(o.LagLimit, leastLagMax)))
	refuse(o.Coalesce != backends.CoalesceOff && !o.Backend.Coalesces,
		"-coalesce is not for backend %s: leave it out, or use %s", o.Backend.Name, cmp.Or(backends.Coalescing(o.Backends), "a backend that obeys it"))
	refuse(o.MaxFrame > core.LargestFrame, "-max-frame %d is over %d, the most a frame may be", o.MaxFrame, core.LargestFrame)
	refuse(o.TLSCert != "" && o.TLSKey == "", "-tls-cert needs -tls-key FILE, the key of the certificate")
	refuse(o.TLSCert == "" && o.TLSKey != "", "-tls-key needs -tls-cert FILE, the certificate of the key")
	refuse(o.Web == "" && len(o.WebOrigins) > 0, "-web-origin is for the browser page: say where it is with -web HOST:PORT, or leave it out")
	refuse(o.History == 0 && o.HistoryFile != "", "-history-file needs -history N, the number of lines to keep")
	all = append(all, o.clusterProblems()...)
	for _, n := range []struct {
		flag               string
		value, least, most int64
	}{
		{"-max-clients", int64(o.MaxClients), 0, math.MaxInt32},
		{"-max-pending", int64(o.MaxPending), 0, math.MaxInt32},
		{"-max-per-address", int64(o.MaxPerAddress), 0, math.MaxInt32},
		{"-max-frame", int64(o.MaxFrame), 256, math.MaxInt32}, // a login fits
		{"-history", int64(o.History), 0, mostHistory},
		{"-lag-limit", int64(o.LagLimit), 4 << 10, math.MaxInt32},
		{"-lag-max", int64(o.LagMax), 0, math.MaxInt32},
		{"-lag-time", int64(o.LagTime), int64(time.Millisecond), math.MaxInt64},
		{"-coalesce", int64(o.Coalesce), int64(backends.CoalesceAuto), int64(backends.CoalesceMost)},
		{"-sndbuf", int64(o.SendBuffer), 0, math.MaxInt32},
		{"-backlog", int64(o.Backlog), 1, math.MaxInt32},
		{"-spawn-ahead", int64(o.SpawnAhead), 0, 1000},
		{"-loops", int64(o.Loops), 0, 256},
		{"-login-timeout", int64(o.LoginTimeout), int64(time.Millisecond), math.MaxInt64},
		{"-linger", int64(o.Linger), 0, math.MaxInt64},
		{"-drain", int64(o.Drain), int64(time.Millisecond), math.MaxInt64},
	} {
		refuse(n.value < n.least || n.value > n.most, "%s is out of range: see chatd -h", n.flag)
	}
	for _, err := range []error{
		o.checkAddress(ctx, "-listen", o.Listen), o.checkPage(ctx), o.Operations.check(ctx),
	} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// clustered says whether the room is on other servers too.
func (o *Options) clustered() bool { return o.Cluster.URLs != "" }

// clusterProblems is problems of what joins the room to those of other servers.
func (o *Options) clusterProblems() (all []error) {
	refuse := func(is bool, format string, args ...any) {
		if is {
			all = append(all, misuse(format, args...))
		}
	}
	c := o.Cluster
	if !o.clustered() {
		refuse(c.Room != "" || c.Credentials != "" || c.CA != "" || c.Cert != "" || c.Key != "",
			"-cluster-room, -cluster-creds, -cluster-ca, -cluster-cert and -cluster-key are for -cluster URL,…: say where NATS is, or leave them out")
		return all
	}
	refuse(!cluster.GoodRoom(c.Room), "-cluster needs -cluster-room NAME, the same for all servers of the room: letters, digits, - and _, 32 at the most")
	refuse(o.HistoryFile != "", "-history-file is for a server alone: with -cluster what was said is in the stream, leave it out")
	refuse(o.MaxFrame > core.LargestShared, "-max-frame %d is over %d, the most a frame may be with -cluster", o.MaxFrame, core.LargestShared)
	refuse((c.Cert == "") != (c.Key == ""), "-cluster-cert and -cluster-key belong together: say both, or none")
	refuse(c.MaxAge != 0 && c.MaxAge < time.Minute, "-cluster-age %v is below a minute: a server that is cut off for that long would miss what was said", c.MaxAge)
	refuse(c.MaxBytes < 1<<20, "-cluster-size %v is below 1 MiB", units.Size(c.MaxBytes))
	refuse(c.Replicas < 1 || c.Replicas > 5, "-cluster-replicas %d is not within 1 to 5", c.Replicas)
	return all
}

// checkPage is checkAddress for the browser page, if there is one.
func (o *Options) checkPage(ctx context.Context) error {
	if o.Web == "" {
		return nil
	}
	return o.checkAddress(ctx, "-web", o.Web)
}

// tls says whether clients are spoken to with TLS.
func (o *Options) tls() bool { return o.TLSCert != "" }

// checkAddress keeps open doors and plaintext passwords off the network.
func (o *Options) checkAddress(ctx context.Context, flag, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return misuse("%s %q is no HOST:PORT, such as 127.0.0.1:9000", flag, address)
	}
	local, err := onlyLoopback(ctx, host)
	switch {
	case err != nil:
		return misuse("%s %s: %q is no address of this machine: %v", flag, address, host, err)
	case local:
		return nil
	case o.Open:
		return misuse("-open would let everybody on the network in at %s: use 127.0.0.1 for %s, or -users FILE", address, flag)
	case !o.Insecure && !o.tls():
		return misuse("passwords would cross the network unencrypted to %s: encrypt them with -tls-cert and -tls-key, use 127.0.0.1 for %s, or allow it with -insecure",
			address, flag)
	}
	return nil
}

// onlyLoopback says whether host means this machine and nothing else. No host
// means every address there is.
func onlyLoopback(ctx context.Context, host string) (bool, error) {
	if host == "" {
		return false, nil
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback(), nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false, err
	}
	for _, addr := range addrs {
		if !addr.Unmap().IsLoopback() {
			return false, nil
		}
	}
	return true, nil
}

// Defaults is what chatd is without flags, but for who may log in and where
// output goes.
func Defaults() Options {
	return Options{
		Listen: "127.0.0.1:9000", MaxPerAddress: 64, MaxFrame: wire.MaxFrame,
		LoginTimeout: 10 * time.Second, LagLimit: 256 << 10, LagTime: 2 * time.Second, Announce: true,
		Flood:         core.Flood{Rate: 20, Burst: 300},
		TLSMin:        tls.VersionTLS13,
		LoginThrottle: units.Rate(10.0 / 60), SendBuffer: 256 << 10, Backlog: 4096,
		Cluster: cluster.Config{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30, Replicas: 1},
		Linger:  2 * time.Second, Drain: 5 * time.Second,
	}
}
