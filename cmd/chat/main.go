// Command chat is a chat client for the terminal.
//
//	chat -server 127.0.0.1:9000 -user alice
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"chatbench/client"
	"chatbench/client/terminal"
	"chatbench/internal/cmdline"
	"chatbench/internal/tlsflags"
)

const intro = `chat is a terminal client for the chat server.

  chat -user alice                   join the room; type /help for the commands
  echo hello | chat -user alice      send one line and leave
  chat -user alice -share music      let others download the files in music
  chat -user alice -server chat.example.org:9000 -tls

With -tls your messages and your password are encrypted on the way to the server.
FILES ARE NOT ENCRYPTED: they go directly from one client to the other. A token
lets only the one who asked download a file, and a checksum detects changes, but
anybody on the network path can read it.

The password is read from CHAT_PASSWORD, or asked for on the terminal. Without a
terminal chat reads and prints plain lines. NO_COLOR=1 turns colours off.`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	fs := flag.NewFlagSet("chat", flag.ContinueOnError)
	o := terminal.Options{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	var p paths
	var secure tlsflags.Flags
	define(fs, &o, &p)
	secure.Define(fs)
	if code, done := cmdline.Describe(os.Stdout, args, func() cmdline.Command { return describe(fs) }); done {
		return code
	}
	if code, done := cmdline.Parse(fs, intro, args); done {
		return code
	}
	if o.Client.User == "" {
		return cmdline.Fail("chat", cmdline.Usage, errors.New("the user name is missing: add -user NAME"))
	}
	o.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := o.Client.Check() // everything is checked before the password is asked for
	if err == nil {
		err = p.open(ctx, &o.Files)
	}
	if err == nil {
		o.Client.TLS, err = secure.Config()
	}
	if err == nil {
		err = setPassword(ctx, &o)
	}
	if err == nil {
		err = terminal.Run(ctx, o)
	}
	switch {
	case errors.Is(err, client.ErrServer), errors.As(err, new(tlsflags.NeedsTLS)):
		return cmdline.Fail("chat", cmdline.Usage, err)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return cmdline.OK // interrupted before the conversation began
	case err != nil:
		return cmdline.Fail("chat", cmdline.Failed, err)
	}
	return cmdline.OK
}
