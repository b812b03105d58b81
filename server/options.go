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

// DefaultMaxClients is the default maximum of clients. It is less if the transport or the
// file limit does not allow so many.
const DefaultMaxClients = 10_000

// maxHistory bounds Options.History: the server keeps a copy of each line in memory.
const maxHistory = 10_000

// minLagMax has room for the largest output that one client can cause at once.
const minLagMax = 1 << 20

// Options configures a server.
type Options struct {
	Backend backends.Backend
	// Backends are all that the program has, for errors that suggest others; nil: errors name none.
	Backends []backends.Backend
	Listen   string // TCP address; a loopback one unless there is a certificate, or Insecure
	// Sockets that another process has opened: each replaces Listen, Web or Admin. They are
	// closed with the server, and if Start fails.
	Sockets Sockets

	Users    string // path of the users file; "" with Open
	Open     bool   // any name and password may log in
	Insecure bool   // passwords may cross a network unencrypted

	// Paths of the certificate and its key (PEM). With them Listen uses TLS.
	TLSCert, TLSKey string
	TLSMin          uint16 // the oldest version that is allowed: tls.VersionTLS13 or 12

	Web        string         // TCP address of the browser page, "" for none
	WebOrigins []string       // further hosts whose pages may connect, see web.Config
	ProxyFrom  []netip.Prefix // proxies: connections from them begin with a PROXY header

	History     int    // lines said before that new clients are sent; 0: none
	HistoryFile string // where these lines are kept when the server ends, "" for nowhere

	MaxClients       int // 0: DefaultMaxClients, or as many as fit
	MaxPending       int // 0: a quarter of MaxClients, at least 64
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

	Cluster cluster.Config // the other servers of the room; without URLs there are none. Start sets Log, History and Entering

	Operations // how an operator can inspect and control the server

	Coalesce   backends.Coalesce
	SendBuffer int // SO_SNDBUF; 0 leaves it to the kernel
	Backlog    int
	SpawnAhead int // processes that wait for clients, if the backend has a process for each client
	Loops      int // event loops, if the backend lets you choose their number; 0: its default
	Linger     time.Duration
	Drain      time.Duration // how long Stop may take before it cuts connections

	JSON bool      // print readiness and final counters as JSON lines
	Out  io.Writer // for these lines, or the one for people
	Log  *slog.Logger
}

// Misuse is an error in the options, as opposed to one of the machine. Its text names
// the flags of chatd.
type Misuse struct{ text string }

func (m Misuse) Error() string { return "server: " + m.text }

func misuse(format string, args ...any) error {
	return Misuse{fmt.Sprintf(format, args...)}
}

// check returns the first problem of the options.
func (o *Options) check(ctx context.Context) error {
	if all := o.problems(ctx); len(all) > 0 {
		return all[0]
	}
	return nil
}

// problems returns all problems of the options, each of them a Misuse.
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
	refuse(o.LagMax > 0 && o.LagMax < max(o.LagLimit, minLagMax),
		"-lag-max %v is below %v: raise it, or leave it out", units.Size(o.LagMax), units.Size(max(o.LagLimit, minLagMax)))
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
		{"-history", int64(o.History), 0, maxHistory},
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

// clustered says whether the room is on several servers.
func (o *Options) clustered() bool { return o.Cluster.URLs != "" }

// clusterProblems returns the problems of the options of a room on several servers.
func (o *Options) clusterProblems() (all []error) {
	refuse := func(is bool, format string, args ...any) {
		if is {
			all = append(all, misuse(format, args...))
		}
	}
	c := o.Cluster
	if !o.clustered() {
		refuse(c.Room != "" || c.Credentials != "" || c.CA != "" || c.Cert != "" || c.Key != "",
			"-cluster-room, -cluster-creds, -cluster-ca, -cluster-cert and -cluster-key need -cluster URL,…: add that, or leave them out")
		return all
	}
	refuse(!cluster.ValidRoom(c.Room), "-cluster needs -cluster-room NAME, the same for all servers of the room: letters, digits, - and _, at most 32")
	refuse(o.HistoryFile != "", "-history-file cannot be used with -cluster, where the stream keeps what was said: leave it out")
	refuse(o.MaxFrame > core.LargestClusterFrame, "-max-frame %d is over %d, the limit with -cluster: lower it", o.MaxFrame, core.LargestClusterFrame)
	refuse((c.Cert == "") != (c.Key == ""), "-cluster-cert and -cluster-key belong together: give both, or none")
	refuse(c.MaxAge != 0 && c.MaxAge < time.Minute, "-cluster-age %v is below 1m: a server that is cut off for longer than that would miss messages: raise it", c.MaxAge)
	refuse(c.MaxBytes < 1<<20, "-cluster-size %v is below 1MiB: raise it", units.Size(c.MaxBytes))
	refuse(c.Replicas < 1 || c.Replicas > 5, "-cluster-replicas %d is not from 1 to 5", c.Replicas)
	return all
}

// checkPage checks the address of the browser page, if there is one.
func (o *Options) checkPage(ctx context.Context) error {
	if o.Web == "" {
		return nil
	}
	return o.checkAddress(ctx, "-web", o.Web)
}

// tls says whether TLS is used.
func (o *Options) tls() bool { return o.TLSCert != "" }

// checkAddress refuses addresses on which strangers could log in with any password, or on
// which passwords would cross the network unencrypted.
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

// onlyLoopback says whether all addresses of a host are loopback addresses. An empty host
// means all addresses of the machine.
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

// Defaults is the options of chatd without flags. Backend, Users or Open, Out and Log are not
// set.
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
