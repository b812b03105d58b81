package command

import (
	"flag"
	"os"

	"chatbench/backends"
	"chatbench/core/units"
	"chatbench/internal/cmdline"
	"chatbench/server"
	"chatbench/server/config"
)

const intro = `chatd is a chat server with a choice of concurrency models under it.

  chatd -open                                  try it: any password lets in
  chatd user add users.txt alice               make a user
  chatd -users users.txt -listen 127.0.0.1:9000
  chatd -users users.txt -listen :9000 -tls-cert cert.pem -tls-key key.pem
  chatd -list                                  what -backend can be
  chatd check -config chatd.toml               would it start? all that is wrong
  chatd config -config chatd.toml              the settings, and where each is from
  chatd ctl -socket PATH who                   see and act, see chatd ctl -h
  chatd healthcheck -admin HOST:PORT           is it well? for images without a shell

SIGTERM and Ctrl-C send everybody what was said before and stop; SIGHUP loads
users, bans and the certificate again, and ends the sessions of those who were
removed, have another password now or are banned.

Each setting is a flag, a key of the file that -config names, and a variable of
the environment. Flags overrule the environment, and that the file. Listening
sockets that systemd passes, named chat, web and admin, take the place of -listen,
-web and -admin.

Behind a proxy that speaks the PROXY protocol, say where it is with -proxy-from.
Behind any other all clients have the address of the proxy, and the limits by
address cannot tell them apart:
  - On this machine (a loopback address) -max-per-address does not apply, nor
    does the limit on wrong passwords for all names together. Limit clients in
    the proxy. Wrong passwords for one name still count: whoever gets the
    password of alice wrong ten times keeps alice herself out for a while.
  - On another machine the limits apply to all clients of the proxy together:
    set -max-per-address 0, and a higher -login-throttle or off.`

// flags is the command line. A setting is one line of newFlags: from there come its
// flag, its key in the settings file and its variable in the environment.
type flags struct {
	set         *flag.FlagSet
	backend     string
	list        *bool
	version     *bool
	lag, sndbuf units.Size
	lagMax      units.Size
	log         logging
	o           server.Options
}

// newFlags defines the flags; backend is what -backend is where nobody says it.
func newFlags(backend string) *flags {
	f := &flags{set: flag.NewFlagSet("chatd", flag.ContinueOnError), o: server.Defaults()}
	f.lag, f.sndbuf = units.Size(f.o.LagLimit), units.Size(f.o.SendBuffer)
	fs, o := f.set, &f.o
	fs.StringVar(&f.backend, "backend", backend, "concurrency model by `NAME`, see -list")
	f.list = cmdline.Action(fs, "list", "print the backends there are")
	f.version = cmdline.Action(fs, "version", "print what this program was built from")
	config.Define(fs)
	fs.StringVar(&o.Listen, "listen", o.Listen, "TCP `HOST:PORT` to listen on: 0.0.0.0 is IPv4 only, [::] and no host are IPv4 and IPv6; port 0 picks a free one")
	fs.StringVar(&o.Users, "users", "", "users `FILE`, see chatd user")
	fs.BoolVar(&o.Open, "open", false, "any password lets in; on a loopback address only")
	defineListeners(fs, o)
	defineCluster(fs, o)
	fs.BoolVar(&o.Insecure, "insecure", false, "allow passwords to cross the network unencrypted")
	fs.IntVar(&o.MaxClients, "max-clients", 0, "at most `N` connections (0: 10000, or what the file limit allows)")
	fs.IntVar(&o.MaxPending, "max-pending", 0, "of them at most `N` not logged in yet (0: a quarter, at least 64)")
	fs.IntVar(&o.MaxPerAddress, "max-per-address", o.MaxPerAddress, "at most `N` connections from one address, loopback exempt; 0: no limit")
	fs.DurationVar(&o.LoginTimeout, "login-timeout", o.LoginTimeout, "`TIME` from connecting to being logged in")
	fs.IntVar(&o.MaxFrame, "max-frame", o.MaxFrame, "a frame from a client has at most `N` octets")
	fs.Var(&f.lag, "lag-limit", "a client that takes less than it is sent, and is owed more than `SIZE`, is closed as slow after -lag-time")
	fs.DurationVar(&o.LagTime, "lag-time", o.LagTime, "`TIME` it may be owed so much without a break")
	fs.Var(&f.lagMax, "lag-max", "at most `SIZE` of what was said is kept for one client, slow or not; 0B: 64 times -lag-limit, at least 4 MiB")
	fs.Var(&o.Coalesce, "coalesce", "let what is said wait for more, so that messages share writes: off, auto (1ms at most, while it saves CPU) or `TIME` up to 10ms; for backends that obey it, see -list")
	fs.Var(&f.sndbuf, "sndbuf", "kernel send buffer of a connection, `SIZE`; 0B: the kernel's choice")
	fs.IntVar(&o.SpawnAhead, "spawn-ahead", o.SpawnAhead, "`N` processes that wait for clients, in a backend of one for each client")
	fs.IntVar(&o.Loops, "loops", o.Loops, "`N` event loops, in a backend whose number of them can be chosen; 0: as many as it has by default, see -list")
	fs.IntVar(&o.Backlog, "backlog", o.Backlog, "at most `N` connections waiting to be accepted")
	fs.DurationVar(&o.Linger, "linger", o.Linger, "`TIME` a closing client has to say goodbye")
	fs.DurationVar(&o.Drain, "drain", o.Drain, "`TIME` the server has to stop before connections are cut")
	fs.BoolVar(&o.Announce, "announce", o.Announce, "say to the room who joins and leaves")
	fs.Var(flood(&o.Flood), "flood", "what one client may say, `RATE,burst=N` in messages, or off: over it its input waits")
	fs.Var(throttle(&o.LoginThrottle), "login-throttle", "wrong passwords from one address for one name, `RATE` or off; for all names together ten times as many, loopback exempt")
	fs.Var(oneOf(&o.AdvertiseClaimed, word[bool]{"peer", false}, word[bool]{"claimed", true}), "p2p-advertise", "address of a file sharer, `peer|claimed`: as seen by the server, or as it says")
	defineOperations(fs, &o.Operations, &f.log)
	fs.BoolVar(&o.JSON, "json", false, "print readiness and the final counters as JSON lines; with -list, the backends")
	return f
}

// options is what the flags say, once they have been parsed, for one backend of the table.
func (f *flags) options(t table, b backends.Backend) server.Options {
	o := f.o
	o.Backends = t
	o.Backend, o.LagLimit, o.LagMax, o.SendBuffer = b, int(f.lag), int(f.lagMax), int(f.sndbuf)
	o.Out = os.Stdout
	o.Log = f.log.logger(os.Stderr)
	return o
}
