// Package terminal is the conversation as a person has it: what arrives is
// shown above the line being typed, what is typed is said, and a server that
// goes away is come back to. Where input or output is no terminal the same
// conversation runs plainly, line by line, for pipes and scripts.
//
// It refuses to know the protocol, which is package client's, and to move files,
// which package transfer does. Run is called once, from one goroutine, which
// alone touches the conversation; it starts what it needs beside it and, but for
// a read of the keyboard that cannot be broken off, leaves nothing behind.
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
	// dialTimeout bounds one try to connect and log in. The server's own
	// deadline for a login is 10 s, after which the try is lost anyway.
	dialTimeout = 12 * time.Second
	// echoTimeout is how long input that has ended waits for the next of its
	// lines to come back from the server.
	echoTimeout = 10 * time.Second
	// unheardMost is how many of our lines may be on their way at once.
	unheardMost = 256
	// toldWaiting is how many texts about files being sent may wait to be shown.
	toldWaiting = 64
)

// Options is whom to talk to, and where. Client.Files and Files.Tell are Run's
// to set.
type Options struct {
	Client    client.Config
	Files     transfer.Options
	Reconnect bool
	// AskPassword, if set, asks for the password where the conversation has no terminal
	// of its own: when the server does not take it any more.
	AskPassword func(context.Context) (string, error)
	In          *os.File
	Out         *os.File
	Err         *os.File
	Colour      bool // on a terminal
}

// screen is where the conversation is shown and where lines come from.
type screen interface {
	// show shows what the server sent.
	show(batch []client.Event)
	// status tells something of the program's own.
	status(text string)
	// print shows lines that were asked for.
	print(lines []string)
	// progress shows rows in the place of those it showed before.
	progress(rows []string)
	// lines gives what is typed; it is closed when that has ended.
	lines() <-chan string
	// connected says whether there is anybody to talk to.
	connected(bool)
	// ask asks for the password. The channel gives it, or is closed if there is nobody
	// to ask. What is typed until then is not shown.
	ask(ctx context.Context) <-chan string
	// close gives the terminal back.
	close()
}

// errLeft is the end the user wanted.
var errLeft = errors.New("terminal: left")

// conversation is the state of one Run.
type conversation struct {
	Options
	screen
	interactive bool
	typed       <-chan string // lines(), nil once input has ended
	unheard     []string      // said by us, not yet come back
	asked       int           // how often /who was typed and is not answered
	unsaid      int           // lines that were lost for good
	backoff     client.Backoff

	client  *client.Client // nil while there is no server
	memory  *command.Memory
	peer    *transfer.Peer
	errands []*errand
	failed  int            // errands, and commands that are none
	work    sync.WaitGroup // the errands' goroutines
	asides  chan func()    // from them, for this goroutine to do
	told    chan string    // from those that send files
	over    chan struct{}  // nobody takes asides any more
}

// Run holds a conversation until the user leaves or ctx ends, which are no
// errors, or until the server is gone for good.
func Run(ctx context.Context, o Options) error {
	v := conversation{
		Options: o, memory: new(command.Memory),
		asides: make(chan func()), told: make(chan string, toldWaiting), over: make(chan struct{}),
	}
	v.Files.Tell = v.tell
	v.peer = transfer.New(v.Files)
	defer v.endErrands()
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
		v.connected(true)
		v.client = c
		err := v.talk(ctx, c)
		v.client = nil
		v.connected(false)
		c.Close()
		switch {
		case errors.Is(err, errLeft):
			return v.verdict()
		case !o.Reconnect, errors.Is(err, client.ErrRemoved), !v.interactive && v.typed == nil:
			v.lost()
			v.waitErrands(ctx)
			return err
		}
		v.status(fmt.Sprintf("%s; trying to come back", trim(err)))
		v.lost()
		if c, err = v.comeBack(ctx); err != nil {
			if errors.Is(err, errLeft) {
				return v.verdict()
			}
			return err
		}
		v.status("back at " + o.Client.Server)
		v.warnUnchecked()
	}
}

// warnUnchecked says that nobody knows whom we talk to, if that is so.
func (v *conversation) warnUnchecked() {
	if v.Client.TLS != nil && v.Client.TLS.InsecureSkipVerify {
		v.status("WARNING: the server's certificate is not checked (-insecure-skip-verify): whoever is on the way can read and change everything, the password too")
	}
}

// open makes the screen that fits where we are.
func open(o Options, name string, memory *command.Memory) (s screen, interactive bool, err error) {
	if term.IsTerminal(int(o.In.Fd())) && term.IsTerminal(int(o.Out.Fd())) {
		s, err = openEditor(o, name, memory)
		return s, true, err
	}
	return openPlain(o), false, nil
}

// verdict is how a conversation that was left went: badly if a script's lines
// were lost, or its commands failed.
func (v *conversation) verdict() error {
	switch {
	case v.interactive:
		return nil
	case v.unsaid > 0:
		return fmt.Errorf("terminal: %s not said for certain", number(v.unsaid, "line was", "lines were"))
	case v.failed > 0:
		return fmt.Errorf("terminal: %s failed", number(v.failed, "command", "commands"))
	}
	return nil
}

// number is how many there are of something, in words for one and for several.
func number(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

// waitErrands lets what is under way come to its end without a server.
func (v *conversation) waitErrands(ctx context.Context) {
	for len(v.errands) > 0 && !v.interactive {
		select {
		case do := <-v.asides:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// lost gives up the lines that have not come back: they may have been said or not.
func (v *conversation) lost() {
	for _, text := range v.unheard {
		v.status("perhaps not said: " + client.Safe([]byte(text)))
	}
	v.unsaid += len(v.unheard)
	v.unheard, v.asked = nil, 0
}

func dial(ctx context.Context, cfg client.Config) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return client.Dial(ctx, cfg)
}
