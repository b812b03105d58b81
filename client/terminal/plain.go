package terminal

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"chatbench/client"
)

// longestLine bounds a piped line; longer ones end the input.
const longestLine = 1 << 20

// plain shows a conversation line by line, for pipes.
type plain struct {
	out, err *os.File
	typed    chan string
	done     chan struct{}
}

func openPlain(o Options) *plain {
	p := &plain{out: o.Out, err: o.Err, typed: make(chan string), done: make(chan struct{})}
	go p.read(o.In)
	return p
}

func (p *plain) read(in *os.File) {
	defer close(p.typed)
	s := bufio.NewScanner(in)
	s.Buffer(nil, longestLine)
	for s.Scan() {
		select {
		case p.typed <- s.Text():
		case <-p.done:
			return
		}
	}
	if err := s.Err(); err != nil {
		p.status("input: " + err.Error())
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
	p.out.WriteString(b.String())
}

func (p *plain) status(text string)   { fmt.Fprintln(p.err, "chat: "+text) }
func (p *plain) lines() <-chan string { return p.typed }
func (p *plain) connected(bool)       {}
func (p *plain) close()               { close(p.done) }
