package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"chatbench/internal/cmdline"
	"chatbench/server"
	"chatbench/server/admin"
)

// defineOperations defines the flags for operators.
func defineOperations(fs *flag.FlagSet, o *server.Operations, log *logging) {
	fs.StringVar(&o.Bans, "bans", "", "`FILE` in which chatd ctl ban keeps bans; without it bans end with the server")
	fs.StringVar(&o.Control, "control", "", "`PATH` of a Unix socket for chatd ctl, which only the user of the server may use")
	fs.StringVar(&o.Admin, "admin", "", "TCP `HOST:PORT` of /metrics, /healthz, /readyz and a live page, without a password; on a loopback address only")
	fs.BoolVar(&o.AdminExposed, "admin-exposed", false, "allow an address for -admin that others can reach")
	fs.BoolVar(&o.AdminProfiles, "admin-pprof", false, "serve profiles of the process at -admin, under /debug/pprof/")
	fs.Var(oneOf(&log.json, word[bool]{"text", false}, word[bool]{"json", true}), "log-format", "format of the log on standard error, `text|json`")
	fs.TextVar(&log.level, "log-level", slog.LevelInfo, "lowest `LEVEL` that is logged: debug, info, warn or error")
	fs.Lookup("log-level").DefValue = "info"
}

// logging is the format and level of the log.
type logging struct {
	json  bool
	level slog.Level
}

func (l logging) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.level}
	if l.json {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

const healthHelp = `chatd healthcheck -admin HOST:PORT

Exits with 0 if the chatd that was started with this -admin is healthy, and with 1
if it is not: for images that have no shell. CHATD_ADMIN can be set instead of
-admin.
`

// defineHealth defines the flags of healthcheck.
func defineHealth(fs *flag.FlagSet) (addr *string) {
	return fs.String("admin", os.Getenv("CHATD_ADMIN"), "`HOST:PORT`, the -admin with which chatd was started")
}

// healthcheck runs "chatd healthcheck".
func healthcheck(args []string) int {
	fs := flag.NewFlagSet("chatd healthcheck", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	addr := defineHealth(fs)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(healthHelp)
		return cmdline.OK
	case err != nil || fs.NArg() > 0 || *addr == "":
		return cmdline.Fail("chatd healthcheck", cmdline.Usage, errors.New("give -admin HOST:PORT, as chatd was started with: see chatd healthcheck -h"))
	}
	if err := admin.Check(context.Background(), *addr); err != nil {
		return cmdline.Fail("chatd healthcheck", cmdline.Failed, err)
	}
	return cmdline.OK
}
