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

const intro = `chatd is a chat server with a choice of server models.

  chatd -open                                  try it: any name and password
  chatd user add users.txt alice               make a user
  chatd -users users.txt -listen 127.0.0.1:9000
  chatd -users users.txt -listen :9000 -tls-cert cert.pem -tls-key key.pem
  chatd -list                                  list the values of -backend
  chatd check -config chatd.toml               list all that is wrong, without starting
  chatd config -config chatd.toml              print the settings, and where each comes from
  chatd ctl -socket PATH who                   inspect and control a server: chatd ctl -h
  chatd healthcheck -admin HOST:PORT           check its health, for images without a shell

SIGTERM and Ctrl-C make it send all clients what was said before and stop. SIGHUP
makes it load users, bans and the certificate again, and end the sessions of users
who were removed, have another password now or are banned.

Each setting is a flag, a key of the file that -config names, and an environment
variable. Flags override the environment, which overrides the file. Listening
sockets that systemd passes, named chat, web and admin, replace -listen, -web and
-admin.

Behind a proxy with the PROXY protocol, set its address with -proxy-from.
Behind any other all clients have the address of the proxy, and the limits by
address cannot tell them apart:
  - On this machine (a loopback address) -max-per-address does not apply, nor
    does the limit on wrong passwords for all names together. Limit clients in
    the proxy. Wrong passwords for one name still count: after ten wrong
    passwords for alice, alice herself cannot log in for a while.
  - On another machine the limits apply to all clients of the proxy together:
    set -max-per-address 0, and a higher -login-throttle or off.`

// flags is the command line. Each setting has one line in newFlags, from which its flag, its
// key in the settings file and its environment variable are made.
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

// newFlags defines the flags; backend is the default of -backend.
func newFlags(backend string) *flags {
	f := &flags{set: flag.NewFlagSet("chatd", flag.ContinueOnError), o: server.Defaults()}
	f.lag, f.sndbuf = units.Size(f.o.LagLimit), units.Size(f.o.SendBuffer)
	fs, o := f.set, &f.o
	fs.StringVar(&f.backend, "backend", backend, "server model by `NAME`, see -list")
	f.list = cmdline.Action(fs, "list", "list the backends")
	f.version = cmdline.Action(fs, "version", "print what this program was built from")
	config.Define(fs)
	fs.StringVar(&o.Listen, "listen", o.Listen, "TCP `HOST:PORT` to listen on: 0.0.0.0 is IPv4 only, [::] and no host are IPv4 and IPv6; port 0 picks a free one")
	fs.StringVar(&o.Users, "users", "", "users `FILE`, see chatd user")
	fs.BoolVar(&o.Open, "open", false, "let any name log in with any password; on a loopback address only")
	defineListeners(fs, o)
	defineCluster(fs, o)
	fs.BoolVar(&o.Insecure, "insecure", false, "allow passwords to cross the network unencrypted")
	fs.IntVar(&o.MaxClients, "max-clients", 0, "at most `N` connections (0: 10000, or what the file limit allows)")
	fs.IntVar(&o.MaxPending, "max-pending", 0, "at most `N` connections that are not logged in yet (0: a quarter of -max-clients, at least 64)")
	fs.IntVar(&o.MaxPerAddress, "max-per-address", o.MaxPerAddress, "at most `N` connections from one address, loopback exempt; 0: no limit")
	fs.DurationVar(&o.LoginTimeout, "login-timeout", o.LoginTimeout, "`TIME` from connecting to being logged in")
	fs.IntVar(&o.MaxFrame, "max-frame", o.MaxFrame, "a frame from a client has at most `N` octets")
	fs.Var(&f.lag, "lag-limit", "a client that reads too slowly is closed if more than `SIZE` waits for it for -lag-time")
	fs.DurationVar(&o.LagTime, "lag-time", o.LagTime, "`TIME` without a break for which more than -lag-limit may wait for a client")
	fs.Var(&f.lagMax, "lag-max", "at most `SIZE` of what was said is kept for one client, slow or not; 0B: 64 times -lag-limit, at least 4 MiB")
	fs.Var(&o.Coalesce, "coalesce", "delay messages so that several share a write: off, auto (1ms at most, while it saves CPU) or `TIME` up to 10ms; for backends that obey it, see -list")
	fs.Var(&f.sndbuf, "sndbuf", "kernel send buffer of a connection, `SIZE`; 0B: the kernel's choice")
	fs.IntVar(&o.SpawnAhead, "spawn-ahead", o.SpawnAhead, "start `N` processes before clients come, in a backend with a process for each client")
	fs.IntVar(&o.Loops, "loops", o.Loops, "`N` event loops, in a backend that lets you choose; 0: its default, see -list")
	fs.IntVar(&o.Backlog, "backlog", o.Backlog, "at most `N` connections waiting to be accepted")
	fs.DurationVar(&o.Linger, "linger", o.Linger, "`TIME` for a client to close its side of a connection that the server has closed")
	fs.DurationVar(&o.Drain, "drain", o.Drain, "`TIME` the server has to stop before connections are cut")
	fs.BoolVar(&o.Announce, "announce", o.Announce, "announce to the room who joins and leaves")
	fs.Var(flood(&o.Flood), "flood", "limit on the messages of one client, `RATE,burst=N`, or off; beyond it the client's input waits")
	fs.Var(throttle(&o.LoginThrottle), "login-throttle", "wrong passwords from one address for one name, `RATE` or off; for all names together ten times as many, loopback exempt")
	fs.Var(oneOf(&o.AdvertiseClaimed, word[bool]{"peer", false}, word[bool]{"claimed", true}), "p2p-advertise", "address of a file sharer, `peer|claimed`: the one the server sees, or the one the sharer claims")
	defineOperations(fs, &o.Operations, &f.log)
	fs.BoolVar(&o.JSON, "json", false, "print readiness and the final counters as JSON lines; with -list, the backends")
	return f
}

// options is the options of the server, from the parsed flags, for one backend of the table.
func (f *flags) options(t table, b backends.Backend) server.Options {
	o := f.o
	o.Backends = t
	o.Backend, o.LagLimit, o.LagMax, o.SendBuffer = b, int(f.lag), int(f.lagMax), int(f.sndbuf)
	o.Out = os.Stdout
	o.Log = f.log.logger(os.Stderr)
	return o
}
