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
// The line editor's own idea of Enter is to leave the typed line on the screen
// and to return; ours is that the line vanishes and comes back from the server
// as everybody sees it. So Enter never reaches the editor: filter swallows the
// key, and listen, which is called after each key with the line so far, takes
// the line out. That way a single ReadLine lasts the whole conversation, and
// all that touches the editor's buffer happens in its own goroutine.
type editor struct {
	line   *readline.Instance
	out    *os.File
	style  style
	prompt string
	memory *command.Memory
	typed  chan string
	ended  sync.WaitGroup
	online atomic.Bool
	asking atomic.Pointer[chan string] // what is typed is the password, for this channel; nil: it is not

	// What stands between the conversation and the line: progress. Both
	// goroutines write above the line.
	write  sync.Mutex
	pinned []string
	drawn  int // rows of it on the screen

	// The reading goroutine's own.
	pressed rune // the swallowed key that listen has to act on, 0 for none
	empty   bool // the line is
	left    bool
	secret  []rune // the password as far as it is typed
}

// typedAhead is how many lines may wait to be said.
const typedAhead = 64

// candidatesShown is how many ways to go on are shown.
const candidatesShown = 50

// cursorReport is what a terminal answers when asked where its cursor is: here,
// at the left edge. The editor asks once, before its first prompt; we know, and
// so it works on terminals that do not answer.
const cursorReport = "\x1b[1;1R"

func openEditor(o Options, name string, memory *command.Memory) (*editor, error) {
	e := &editor{out: o.Out, style: style{o.Colour, name}, prompt: name, memory: memory, typed: make(chan string, typedAhead), empty: true}
	line, err := readline.NewFromConfig(&readline.Config{
		Prompt: e.promptFor(true),
		Stdin:  io.MultiReader(strings.NewReader(cursorReport), o.In),
		Stdout: unasked{o.Out},
		Stderr: unasked{o.Out},

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
		line.ReadLine() // ends by close, or when the terminal is gone
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

// unasked keeps the question for the cursor from the terminal: the answer is
// at hand already.
type unasked struct{ io.Writer }

func (w unasked) Write(p []byte) (int, error) {
	if string(p) == "\x1b[6n" {
		return len(p), nil
	}
	return w.Writer.Write(p)
}

// filter sees each key first. What it swallows becomes a bell, which does
// nothing by itself but call listen.
func (e *editor) filter(key rune) (rune, bool) {
	switch {
	case e.left:
		return 0, false
	case e.asking.Load() != nil && key != readline.CharInterrupt:
		e.secretKey(key)
		return 0, false // the line stays as it is
	case key == readline.CharEnter || key == readline.CharCtrlJ:
	case key == readline.CharTab: // the editor's own completion would race with what arrives
	case key == readline.CharInterrupt || key == readline.CharEOT && e.empty:
		key = readline.CharInterrupt
	case key == 0 || key == readline.CharBckSearch || key == readline.CharFwdSearch:
		return 0, false // NUL cannot be said; searching would race with what arrives
	default:
		return key, true
	}
	e.pressed = key
	return readline.CharBell, true
}

// secretKey takes a key that is one of the password. Keys that move the cursor are
// none.
func (e *editor) secretKey(key rune) {
	switch {
	case key == readline.CharEnter || key == readline.CharCtrlJ:
		if answer := e.asking.Swap(nil); answer != nil {
			*answer <- string(e.secret) // it has room for one
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

// ask has what is typed be the password, until Enter. The draft of a line stays where
// it is, behind another prompt.
func (e *editor) ask(context.Context) <-chan string {
	answer := make(chan string, 1)
	e.asking.Store(&answer)
	e.status("type your password and Enter: it is not shown; Ctrl-C leaves")
	e.line.SetPrompt(e.prompt + "? ")
	e.line.Refresh()
	return answer
}

// listen is called after each key with the line as it is now, and says what it
// is to be instead.
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
			return nil, 0, false // the draft stays
		}
	}
	e.empty = true
	return nil, 0, true
}

// complete completes the word before the cursor, or shows how it can go on.
func (e *editor) complete(line []rune, at int) (instead []rune, pos int, replace bool) {
	longer, candidates := e.memory.Complete(string(line[:at]))
	if len(candidates) > 0 {
		e.status(strings.Join(candidates[:min(len(candidates), candidatesShown)], "  "))
	}
	head := []rune(longer)
	e.empty = len(head)+len(line)-at == 0
	return slices.Concat(head, line[at:]), len(head), true
}

// leave ends the typing.
func (e *editor) leave() {
	if !e.left {
		e.left = true
		close(e.typed)
	}
}

// take hands a line over, unless there is nobody to say it to.
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

// put writes whole lines above the one being typed, and progress between the
// two. The editor has cleared its line and all below when it lets us write, and
// the cursor is at the left edge: so the rows of progress are those above.
func (e *editor) put(text string) {
	e.write.Lock()
	defer e.write.Unlock()
	var b strings.Builder
	if e.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", e.drawn)
		if text == "" && len(e.pinned) == 0 {
			// The editor counts what follows the last newline as columns that
			// are taken, escape sequences too: let nothing follow.
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

// connected shows by the prompt whether Enter will do anything. All prompts are as
// wide, so that the line below does not have to be laid out anew.
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
