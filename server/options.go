package server

import (
	"context"
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
)

// DefaultMaxClients is the pool where nobody asked for another, or less if the
// transport or the file limit cannot carry as many.
const DefaultMaxClients = 10_000

// leastLagMax is room for the largest frames that one client can have the room
// make at once.
const leastLagMax = 1 << 20

// Options is what a server is made of.
type Options struct {
	Backend backends.Backend
	Listen  string // TCP address; a loopback one unless Insecure

	Users    string // path of the users file; "" with Open
	Open     bool   // any password lets in
	Insecure bool   // passwords may cross a network unencrypted

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

	Operations // what an operator has besides signals

	SendBuffer int // SO_SNDBUF; 0 leaves it to the kernel
	Backlog    int
	SpawnAhead int // processes that wait for clients, where there is one for each
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

// check refuses options that cannot be meant.
func (o *Options) check(ctx context.Context) error {
	switch {
	case o.Open && o.Users != "":
		return misuse("-open and -users FILE exclude each other: leave one out")
	case !o.Open && o.Users == "":
		return misuse("who may log in? say -users FILE (chatd user add makes one), or -open for any password")
	case o.SpawnAhead > 0 && o.Backend.PerClient != backends.OwnProcess:
		return misuse("-spawn-ahead is for a backend with a process for each client, not for %s: leave it out", o.Backend.Name)
	case o.LagMax > 0 && o.LagMax < max(o.LagLimit, leastLagMax):
		return misuse("-lag-max %v is below %v: raise it, or leave it out", units.Size(o.LagMax), units.Size(max(o.LagLimit, leastLagMax)))
	case o.MaxFrame > core.LargestFrame:
		return misuse("-max-frame %d is over %d, the most a frame may be", o.MaxFrame, core.LargestFrame)
	}
	for _, n := range []struct {
		flag               string
		value, least, most int64
	}{
		{"-max-clients", int64(o.MaxClients), 0, math.MaxInt32},
		{"-max-pending", int64(o.MaxPending), 0, math.MaxInt32},
		{"-max-per-address", int64(o.MaxPerAddress), 0, math.MaxInt32},
		{"-max-frame", int64(o.MaxFrame), 256, math.MaxInt32}, // a login fits
		{"-lag-limit", int64(o.LagLimit), 4 << 10, math.MaxInt32},
		{"-lag-max", int64(o.LagMax), 0, math.MaxInt32},
		{"-lag-time", int64(o.LagTime), int64(time.Millisecond), math.MaxInt64},
		{"-sndbuf", int64(o.SendBuffer), 0, math.MaxInt32},
		{"-backlog", int64(o.Backlog), 1, math.MaxInt32},
		{"-spawn-ahead", int64(o.SpawnAhead), 0, 1000},
		{"-login-timeout", int64(o.LoginTimeout), int64(time.Millisecond), math.MaxInt64},
		{"-linger", int64(o.Linger), 0, math.MaxInt64},
		{"-drain", int64(o.Drain), int64(time.Millisecond), math.MaxInt64},
	} {
		if n.value < n.least || n.value > n.most {
			return misuse("%s is out of range: see chatd -h", n.flag)
		}
	}
	if err := o.Operations.check(ctx); err != nil {
		return err
	}
	return o.checkAddress(ctx)
}

// checkAddress keeps open doors and plaintext passwords off the network.
func (o *Options) checkAddress(ctx context.Context) error {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil || port == "" {
		return misuse("-listen %q is no HOST:PORT, such as 127.0.0.1:9000", o.Listen)
	}
	local, err := onlyLoopback(ctx, host)
	switch {
	case err != nil:
		return misuse("-listen %s: %q is no address of this machine: %v", o.Listen, host, err)
	case local:
		return nil
	case o.Open:
		return misuse("-open would let everybody on the network in at %s: listen on 127.0.0.1, or use -users FILE", o.Listen)
	case !o.Insecure:
		return misuse("passwords would cross the network unencrypted to %s: listen on 127.0.0.1, or allow it with -insecure", o.Listen)
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
		LoginThrottle: units.Rate(10.0 / 60), SendBuffer: 256 << 10, Backlog: 4096,
		Linger: 2 * time.Second, Drain: 5 * time.Second,
	}
}
