package terminal

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/ergochat/readline"
	"golang.org/x/term"

	"chatbench/client"
	"chatbench/client/command"
)

// editor shows a conversation above a line that is being typed.
//
// On Enter the readline library leaves the typed line on the screen and returns.
// Here the line has to disappear, and to come back from the server as everybody
// sees it. So Enter never reaches the library: filter swallows the key, and listen,
// which is called after each key with the line so far, takes the line. A single
// ReadLine lasts the whole conversation, and only the library's own goroutine
// touches its buffer.
type editor struct {
	line   *readline.Instance
	out    *os.File
	style  style
	prompt string
	memory *command.Memory
	typed  chan string
	ended  sync.WaitGroup
	online atomic.Bool
	asking atomic.Pointer[chan string] // not nil: what is typed is the password, to be sent to this channel

	// Progress, shown between the conversation and the line. Both goroutines write
	// above the line.
	write  sync.Mutex
	pinned []string
	drawn  int // rows of it on the screen

	// Only the reading goroutine uses these.
	pressed rune // the swallowed key that listen has to act on, 0 for none
	empty   bool // the line is empty
	left    bool
	secret  []rune // the part of the password typed so far
}

// maxTypedAhead is how many typed lines may wait to be sent.
const maxTypedAhead = 64

// maxCandidatesShown is how many completions are shown.
const maxCandidatesShown = 50

// cursorReport is a terminal's answer to the question where its cursor is: at the
// left edge. The library asks once, before its first prompt. It is given this answer,
// so that it works on terminals that do not answer.
const cursorReport = "\x1b[1;1R"

func openEditor(o Options, name string, memory *command.Memory) (*editor, error) {
	e := &editor{out: o.Out, style: style{o.Colour, name}, prompt: name, memory: memory, typed: make(chan string, maxTypedAhead), empty: true}
	e.online.Store(true)
	line, err := readline.NewFromConfig(&readline.Config{
		Prompt: e.promptFor(true),
		Stdin:  io.MultiReader(strings.NewReader(cursorReport), o.In),
		Stdout: noCursorQuery{o.Out},
		Stderr: noCursorQuery{o.Out},

		DisableAutoSaveHistory: true, // what is entered is saved by listen
		FuncFilterInputRune:    e.filter,
		Listener:               e.listen,
		FuncGetSize:            e.size,
	})
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	e.line = line
	e.ended.Go(func() {
		line.ReadLine() // returns after close, or when the terminal is gone
		e.leave()
	})
	return e, nil
}

func (e *editor) size() (width, height int) {
	if width, height, err := term.GetSize(int(e.out.Fd())); err == nil && width > 0 {
		return width, height
	}
	return 80, 24
}

// noCursorQuery drops the question for the cursor's position, which cursorReport
// answers.
type noCursorQuery struct{ io.Writer }

func (w noCursorQuery) Write(p []byte) (int, error) {
	if string(p) == "\x1b[6n" {
		return len(p), nil
	}
	return w.Writer.Write(p)
}

// filter sees each key first. A key that it swallows becomes a BEL, for which the
// library does nothing but call listen.
func (e *editor) filter(key rune) (rune, bool) {
	switch {
	case e.left:
		return 0, false
	case e.asking.Load() != nil && key != readline.CharInterrupt:
		e.secretKey(key)
		return 0, false // the line stays as it is
	case key == readline.CharEnter || key == readline.CharCtrlJ:
	case key == readline.CharTab: // the library's own completion would race with what arrives
	case key == readline.CharInterrupt || key == readline.CharEOT && e.empty:
		key = readline.CharInterrupt
	case key == 0 || key == readline.CharBckSearch || key == readline.CharFwdSearch:
		return 0, false // no message can hold a NUL; searching would race with what arrives
	default:
		return key, true
	}
	e.pressed = key
	return readline.CharBell, true
}

// secretKey takes a key of the password. Keys that move the cursor do nothing.
func (e *editor) secretKey(key rune) {
	switch {
	case key == readline.CharEnter || key == readline.CharCtrlJ:
		if answer := e.asking.Swap(nil); answer != nil {
			*answer <- string(e.secret) // the channel has room for it
			e.line.SetPrompt(e.promptFor(false))
		}
		e.secret = nil
	case key == readline.CharBackspace || key == readline.CharCtrlH:
		e.secret = e.secret[:max(len(e.secret)-1, 0)]
	case key == readline.CharCtrlU:
		e.secret = nil
	case unicode.IsGraphic(key):
		e.secret = append(e.secret, key)
	}
}

// ask takes what is typed as the password, until Enter. The line being typed stays,
// behind another prompt.
func (e *editor) ask(context.Context) <-chan string {
	answer := make(chan string, 1)
	e.asking.Store(&answer)
	e.status("type your password and Enter; it is not shown; Ctrl-C leaves")
	e.line.SetPrompt(e.prompt + "? ")
	e.line.Refresh()
	return answer
}

// listen is called after each key with the current line, and may replace it.
func (e *editor) listen(line []rune, at int, _ rune) (instead []rune, pos int, replace bool) {
	pressed := e.pressed
	e.pressed = 0
	e.empty = len(line) == 0
	switch pressed {
	case 0:
		return nil, 0, false
	case readline.CharInterrupt:
		e.leave()
	case readline.CharTab:
		return e.complete(line, at)
	default:
		text := string(line)
		if strings.TrimSpace(text) != "" && !e.take(text) {
			io.WriteString(e.out, "\a")
			return nil, 0, false // the line stays
		}
	}
	e.empty = true
	return nil, 0, true
}

// complete completes the word before the cursor, or shows its completions.
func (e *editor) complete(line []rune, at int) (instead []rune, pos int, replace bool) {
	longer, candidates := e.memory.Complete(string(line[:at]))
	if len(candidates) > 0 {
		e.status(strings.Join(candidates[:min(len(candidates), maxCandidatesShown)], "  "))
	}
	head := []rune(longer)
	e.empty = len(head)+len(line)-at == 0
	return slices.Concat(head, line[at:]), len(head), true
}

// leave ends the input.
func (e *editor) leave() {
	if !e.left {
		e.left = true
		close(e.typed)
	}
}

// take passes a line on; false if there is no server to send it to.
func (e *editor) take(text string) bool {
	if !e.online.Load() && !isCommand(text) {
		return false
	}
	select {
	case e.typed <- text:
		e.line.SaveToHistory(text)
		return true
	default:
		return false
	}
}

func (e *editor) show(batch []client.Event) {
	var b strings.Builder
	now := time.Now()
	for _, event := range batch {
		switch event := event.(type) {
		case client.Said:
			e.style.said(&b, now, event.From, event.Text)
		case client.Notice:
			e.style.notice(&b, now, event.Text)
		}
	}
	e.put(b.String())
}

func (e *editor) status(text string) {
	var b strings.Builder
	e.style.status(&b, time.Now(), text)
	e.put(b.String())
}

func (e *editor) print(lines []string) { e.put(strings.Join(lines, "\n") + "\n") }

func (e *editor) progress(rows []string) {
	e.write.Lock()
	e.pinned = rows
	nothing := len(rows) == 0 && e.drawn == 0
	e.write.Unlock()
	if !nothing {
		e.put("")
	}
}

// put writes whole lines above the one being typed, and progress between the two.
// When the library lets us write it has cleared its line and everything below, and
// the cursor is at the left edge. So the rows above are those of the progress.
func (e *editor) put(text string) {
	e.write.Lock()
	defer e.write.Unlock()
	var b strings.Builder
	if e.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", e.drawn)
		if text == "" && len(e.pinned) == 0 {
			// The library counts what follows the last newline as columns in use,
			// even escape sequences. So nothing may follow.
			b.WriteString("\x1b[A\n")
		}
	}
	b.WriteString(text)
	columns, _ := e.size()
	for _, row := range e.pinned {
		b.WriteString(e.style.paint(dim, fitColumns(row, columns-1)) + "\n")
	}
	e.drawn = len(e.pinned)
	io.WriteString(e.line, b.String())
}

func (e *editor) lines() <-chan string { return e.typed }

// connected shows by the prompt whether Enter has an effect. All prompts have the
// same width, so that the line need not be laid out again.
func (e *editor) connected(is bool) {
	e.online.Store(is)
	e.asking.Store(nil)
	e.line.SetPrompt(e.promptFor(is))
	e.line.Refresh()
}

func (e *editor) promptFor(connected bool) string {
	if connected {
		return e.prompt + "> "
	}
	return e.prompt + "! "
}

func (e *editor) close() {
	e.line.Close()
	e.ended.Wait()
}
