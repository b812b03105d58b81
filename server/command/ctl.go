package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"chatbench/core/units"
	"chatbench/internal/cmdline"
	"chatbench/server/control"
)

const ctlHelp = `chatd ctl -socket PATH [-json] COMMAND

controls the chatd that was started with -control PATH. Run it as the user of
that chatd.

%s
An IPv6 address means its /64. CHATD_CONTROL can be set instead of -socket. -json
prints the answer as one JSON line. The exit code is 0, 1 if the command failed,
or 2 if the command line is wrong.
`

// ctlFlags is the command line of ctl.
type ctlFlags struct {
	socket string
	json   bool
}

// define defines the flags.
func (f *ctlFlags) define() *flag.FlagSet {
	fs := flag.NewFlagSet("chatd ctl", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&f.socket, "socket", os.Getenv("CHATD_CONTROL"), "`PATH` that chatd was started with as -control")
	fs.BoolVar(&f.json, "json", false, "print the answer as one JSON line")
	return fs
}

// ctl runs "chatd ctl".
func ctl(args []string) int {
	var f ctlFlags
	fs := f.define()
	path, asJSON := &f.socket, &f.json
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) || wantsHelp(fs.Args()) {
		fmt.Printf(ctlHelp, ctlCommands())
		return cmdline.OK
	}
	var request control.Request
	if err == nil {
		request, err = parseRequest(fs.Args(), asJSON)
	}
	if err == nil && *path == "" {
		err = errors.New("which server? give -socket PATH, the -control with which chatd was started")
	}
	if err != nil {
		return cmdline.Fail("chatd ctl", cmdline.Usage, fmt.Errorf("%w: see chatd ctl -h", err))
	}
	answer, err := control.Ask(*path, request)
	if err != nil {
		return cmdline.Fail("chatd ctl", cmdline.Failed, err)
	}
	if *asJSON {
		text, err := json.Marshal(answer)
		if err != nil {
			panic("command: " + err.Error()) // it was JSON
		}
		fmt.Println(string(text))
	} else {
		printAnswer(os.Stdout, answer)
	}
	switch {
	case answer.Error == "":
		return cmdline.OK
	case *asJSON:
		return cmdline.Failed // it is in the line
	}
	return cmdline.Fail("chatd ctl", cmdline.Failed, errors.New(answer.Error))
}

// wantsHelp says whether the arguments ask for help, in general or for one command.
func wantsHelp(args []string) bool {
	return len(args) > 0 && args[0] == "help" || len(args) == 2 && (args[1] == "-h" || args[1] == "-help" || args[1] == "--help")
}

// ctlCommands is the list of commands for the help.
func ctlCommands() string {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 3, ' ', 0)
	for _, c := range control.Commands {
		takes := ""
		switch {
		case c.Name == "kick":
			takes = " NAME"
		case c.For:
			takes = " NAME|ADDRESS|PREFIX [-for TIME]"
		case c.Target:
			takes = " NAME|ADDRESS|PREFIX"
		case c.Text:
			takes = " TEXT"
		}
		fmt.Fprintf(table, "  %s%s\t%s\n", c.Name, takes, c.Help)
	}
	table.Flush()
	return out.String()
}

// parseRequest parses a command and its arguments. -for may come before or after the target
// of a ban, and -json after any command except one that takes a text. The server checks the
// arguments.
func parseRequest(args []string, asJSON *bool) (control.Request, error) {
	if len(args) == 0 {
		return control.Request{}, errors.New("there is no command: give who, kick, ban or another one")
	}
	r := control.Request{Command: args[0]}
	for _, c := range control.Commands {
		if c.Name != r.Command {
			continue
		}
		rest := args[1:]
		if c.Text {
			r.Text = strings.Join(rest, " ")
			rest = nil
		}
		for len(rest) > 0 {
			switch {
			case rest[0] == "-json" || rest[0] == "--json":
				*asJSON, rest = true, rest[1:]
			case c.For && (rest[0] == "-for" || rest[0] == "--for") && len(rest) > 1:
				r.For, rest = rest[1], rest[2:]
			case c.Target && r.Target == "" && !strings.HasPrefix(rest[0], "-"):
				r.Target, rest = rest[0], rest[1:]
			default:
				return r, fmt.Errorf("%s does not take %q", r.Command, rest[0])
			}
		}
		if c.Target && r.Target == "" || c.Text && r.Text == "" {
			return r, fmt.Errorf("%s needs an argument: a target or a text", r.Command)
		}
		return r, nil
	}
	return r, fmt.Errorf("there is no command %q", r.Command)
}

// printAnswer prints an answer for people.
func printAnswer(w io.Writer, a control.Answer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(a.Users) > 0 {
		fmt.Fprintln(table, "NAME\tFROM\tSINCE\tBEHIND\t")
		for _, u := range a.Users {
			waits := ""
			if u.Held {
				waits = "its input waits"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%v\t%s\n", u.Name, u.Peer, u.Since.Local().Format(time.DateTime), units.Size(u.Behind), waits)
		}
	}
	if len(a.Bans) > 0 {
		fmt.Fprintln(table, "BANNED\tSINCE\tUNTIL")
		for _, b := range a.Bans {
			until := "for good"
			if !b.Until.IsZero() {
				until = b.Until.Local().Format(time.DateTime)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\n", b.Target(), b.Since.Local().Format(time.DateTime), until)
		}
	}
	table.Flush()
	if a.Stats != nil {
		var out bytes.Buffer
		json.Indent(&out, a.Stats, "", "  ") // it was JSON
		fmt.Fprintln(w, out.String())
	}
	if a.Text != "" {
		fmt.Fprintln(w, a.Text)
	}
}
