// Package terminal is chat's user interface. It shows what arrives above the line
// being typed, sends what is typed, and reconnects when the server is gone. If
// input or output is not a terminal it reads and prints plain lines, for pipes and
// scripts.
//
// It does not know the protocol, which is package client's, and does not transfer
// files, which package transfer does. Call Run once; its goroutine alone touches
// the conversation. When Run returns it leaves nothing behind except a read of the
// keyboard, which cannot be interrupted.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"chatbench/client"
	"chatbench/client/command"
	"chatbench/client/transfer"
)

const (
	// dialTimeout bounds one attempt to connect and log in. The server's own
	// deadline for a login is 10 s, so a longer timeout would not help.
	dialTimeout = 12 * time.Second
	// echoTimeout is how long, when input has ended, to wait for the server to send
	// back the next line.
	echoTimeout = 10 * time.Second
	// maxPending is how many lines may be sent and not yet echoed.
	maxPending = 256
	// maxStatuses is how many texts from other goroutines may wait to be shown.
	maxStatuses = 64
)

// Options configures Run, which itself sets Client.Files and Files.Tell.
type Options struct {
	Client    client.Config
	Files     transfer.Options
	Reconnect bool
	// AskPassword, if set, asks for the password again when the server no longer
	// accepts it and the conversation does not run on a terminal.
	AskPassword func(context.Context) (string, error)
	In          *os.File
	Out         *os.File
	Err         *os.File
	Colour      bool // on a terminal
}

// screen shows the conversation and gives the lines that are typed.
type screen interface {
	// show shows what the server sent.
	show(batch []client.Event)
	// status shows a message of the program itself.
	status(text string)
	// print shows the result of a command.
	print(lines []string)
	// progress replaces the rows it showed before.
	progress(rows []string)
	// lines gives what is typed; it is closed when that has ended.
	lines() <-chan string
	// connected shows whether there is a server to talk to. At first there is one.
	connected(bool)
	// ask asks for the password. The channel gives it, or is closed if there is nobody
	// to ask. Meanwhile typed characters are not shown.
	ask(ctx context.Context) <-chan string
	// close restores the terminal.
	close()
}

// errLeft means that the user left.
var errLeft = errors.New("terminal: left")

// conversation is the state of one Run.
type conversation struct {
	Options
	screen
	interactive bool
	typed       <-chan string // lines(), nil once input has ended
	pending     []string      // sent, not yet echoed by the server
	whoPending  int           // /who commands not yet answered
	lostLines   int           // never sent, or sent and never echoed
	backoff     client.Backoff

	client         *client.Client // nil while there is no server
	memory         *command.Memory
	peer           *transfer.Peer
	requests       []*fileRequest
	failedCommands int            // file requests that failed, and commands that were wrong
	running        sync.WaitGroup // the requests' goroutines
	calls          chan func()    // from them, for this goroutine to call
	statuses       chan string    // from any goroutine, for this one to show
	done           chan struct{}  // closed when nobody receives from calls any more
}

// Run runs a conversation until the user leaves or ctx ends, and then returns nil,
// or until the server is gone for good.
func Run(ctx context.Context, o Options) error {
	v := conversation{
		Options: o, memory: new(command.Memory),
		calls: make(chan func()), statuses: make(chan string, maxStatuses), done: make(chan struct{}),
	}
	v.Files.Tell = v.queueStatus
	v.peer = transfer.New(v.Files)
	defer v.cancelRequests()
	v.Client.Files = v.peer
	c, err := dial(ctx, v.Client)
	if err != nil {
		return err
	}
	if v.screen, v.interactive, err = open(o, c.Name(), v.memory); err != nil {
		c.Close()
		return err
	}
	defer v.close()
	v.typed = v.lines()
	if v.interactive {
		how := ""
		if o.Client.TLS != nil {
			how = " by TLS"
		}
		v.status(fmt.Sprintf("connected to %s%s as %s; /help shows what can be typed", o.Client.Server, how, c.Name()))
	}
	v.warnUnchecked()
	for {
		v.client = c
		err := v.talk(ctx, c)
		v.client = nil
		v.connected(false)
		c.Close()
		switch {
		case errors.Is(err, errLeft):
			return v.verdict()
		case !o.Reconnect, errors.Is(err, client.ErrRemoved), !v.interactive && v.typed == nil:
			v.giveUpPending()
			v.waitRequests(ctx)
			return err
		}
		v.status(fmt.Sprintf("%s; trying to reconnect", trim(err)))
		v.giveUpPending()
		if c, err = v.reconnect(ctx); err != nil {
			if errors.Is(err, errLeft) {
				return v.verdict()
			}
			return err
		}
		v.connected(true) // first: who reads that it is there may type at once
		v.status("reconnected to " + o.Client.Server)
		v.warnUnchecked()
	}
}

// warnUnchecked warns if the server's certificate is not checked.
func (v *conversation) warnUnchecked() {
	if v.Client.TLS != nil && v.Client.TLS.InsecureSkipVerify {
		v.status("WARNING: the server's certificate is not checked (-insecure-skip-verify): anybody on the network path can read and change everything, the password too")
	}
}

// open makes a screen: an editor on a terminal, plain lines elsewhere.
func open(o Options, name string, memory *command.Memory) (s screen, interactive bool, err error) {
	if term.IsTerminal(int(o.In.Fd())) && term.IsTerminal(int(o.Out.Fd())) {
		s, err = openEditor(o, name, memory)
		return s, true, err
	}
	return openPlain(o), false, nil
}

// verdict is Run's error when the user has left: not nil if lines of a script were
// lost or its commands failed.
func (v *conversation) verdict() error {
	switch {
	case v.interactive:
		return nil
	case v.lostLines > 0:
		return fmt.Errorf("terminal: %s perhaps not delivered", number(v.lostLines, "line was", "lines were"))
	case v.failedCommands > 0:
		return fmt.Errorf("terminal: %s failed", number(v.failedCommands, "command", "commands"))
	}
	return nil
}

// number is a count with its noun in the singular or the plural.
func number(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

// waitRequests waits, in a script, until the file requests have ended. They need no
// server any more.
func (v *conversation) waitRequests(ctx context.Context) {
	for len(v.requests) > 0 && !v.interactive {
		select {
		case call := <-v.calls:
			call()
		case <-ctx.Done():
			return
		}
	}
}

// giveUpPending reports the lines that the server has not echoed: they may or may
// not have reached the room.
func (v *conversation) giveUpPending() {
	for _, text := range v.pending {
		v.status("perhaps not delivered: " + client.Safe([]byte(text)))
	}
	v.lostLines += len(v.pending)
	v.pending, v.whoPending = nil, 0
}

func dial(ctx context.Context, cfg client.Config) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return client.Dial(ctx, cfg)
}
