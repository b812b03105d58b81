package terminal

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"chatbench/client"
)

// maxLine is the longest line of input, in octets. A longer one ends the input.
const maxLine = 1 << 20

// plain reads and prints lines, for pipes.
type plain struct {
	out, err *os.File
	typed    chan string
	done     chan struct{}
	password func(context.Context) (string, error)
	typing   bool // lines come from a terminal
	watched  bool // err is a terminal: progress is shown
	drawn    bool // progress is on the current row
	asking   sync.WaitGroup
}

func openPlain(o Options) *plain {
	p := &plain{
		out: o.Out, err: o.Err, typed: make(chan string), done: make(chan struct{}), password: o.AskPassword,
		typing: term.IsTerminal(int(o.In.Fd())), watched: term.IsTerminal(int(o.Err.Fd())),
	}
	go p.read(o.In)
	return p
}

func (p *plain) read(in *os.File) {
	defer close(p.typed)
	s := bufio.NewScanner(in)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		select {
		case p.typed <- s.Text():
		case <-p.done:
			return
		}
	}
	if err := s.Err(); err != nil {
		fmt.Fprintln(p.err, "chat: input: "+err.Error())
	}
}

func (p *plain) show(batch []client.Event) {
	var b strings.Builder
	for _, e := range batch {
		switch e := e.(type) {
		case client.Said:
			fmt.Fprintf(&b, "%s: %s\n", e.From, e.Text)
		case client.Notice:
			fmt.Fprintf(&b, "server: %s\n", e.Text)
		}
	}
	p.wipe()
	p.out.WriteString(b.String())
}

func (p *plain) status(text string) {
	p.wipe()
	fmt.Fprintln(p.err, "chat: "+text)
}

func (p *plain) print(lines []string) {
	p.wipe()
	p.out.WriteString(strings.Join(lines, "\n") + "\n")
}

func (p *plain) progress(rows []string) {
	p.wipe()
	if p.drawn = p.watched && len(rows) > 0; p.drawn {
		columns, _, err := term.GetSize(int(p.err.Fd()))
		if err != nil || columns < 1 {
			columns = 80
		}
		p.err.WriteString(fitColumns(strings.Join(rows, "  "), columns-1))
	}
}

// wipe clears the row of the progress.
func (p *plain) wipe() {
	if p.drawn {
		p.err.WriteString("\r\x1b[K")
		p.drawn = false
	}
}

// ask asks on the terminal of the process, unless lines are read from it: then the
// password would be read as a line, and sent to the room.
func (p *plain) ask(ctx context.Context) <-chan string {
	answer := make(chan string, 1)
	p.asking.Go(func() {
		defer close(answer)
		if p.password == nil || p.typing {
			return
		}
		if password, err := p.password(ctx); err == nil {
			answer <- password
		}
	})
	return answer
}

func (p *plain) lines() <-chan string { return p.typed }
func (p *plain) connected(bool)       {}

// close waits for a password question that is still open, which then restores the
// terminal.
func (p *plain) close() {
	close(p.done)
	p.asking.Wait()
}
