package terminal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/text/unicode/norm"

	"chatbench/client"
	"chatbench/client/command"
	"chatbench/client/transfer"
)

const (
	errandsMost = 200                    // at once
	redraw      = 250 * time.Millisecond // of the progress shown
)

var errCancelled = errors.New("terminal: cancelled")

// errand is a command about files that is being carried out, in a goroutine of
// its own. What it has to show it hands to the conversation's goroutine.
type errand struct {
	user, file string // file is empty for a list
	progress   transfer.Progress
	cancel     context.CancelCauseFunc
}

// file carries a command about files out; c is nil if there is no server.
func (v *conversation) file(c *client.Client, cmd command.Command) {
	if cmd.Kind == command.Cancel {
		v.cancel(cmd.Files)
		return
	}
	if c == nil {
		v.complain(nobodyToAsk)
		return
	}
	files := cmd.Files
	if cmd.Kind == command.List {
		files = []string{""}
	}
	for i, file := range files {
		if len(v.errands) == errandsMost {
			v.complain(fmt.Sprintf("%d files are being fetched or waited for; left out: %s and what follows",
				errandsMost, client.Safe([]byte(files[i]))))
			return
		}
		v.send(c, cmd, file)
	}
}

// send sends an errand off.
func (v *conversation) send(c *client.Client, cmd command.Command, file string) {
	ctx, cancel := context.WithCancelCause(context.Background())
	e := &errand{user: cmd.User, file: file, cancel: cancel}
	v.errands = append(v.errands, e)
	v.work.Go(func() {
		if cmd.Kind == command.List {
			names, err := v.peer.List(ctx, c, e.user)
			v.aside(func() { v.listed(e, names, err) })
			return
		}
		saved, err := v.peer.Fetch(ctx, c, e.user, e.file, &e.progress)
		v.aside(func() { v.fetched(e, saved, err) })
	})
}

// aside has something done in the conversation's goroutine. At the end of the
// conversation nobody does it any more.
func (v *conversation) aside(do func()) {
	select {
	case v.asides <- do:
	case <-v.over:
	}
}

// tell is aside for a text; it waits for nobody.
func (v *conversation) tell(text string) {
	select {
	case v.told <- text:
	default: // with so much untold it is of no use
	}
}

// cancel stops the fetching of some files, or of all.
func (v *conversation) cancel(files []string) {
	found := 0
	for _, e := range v.errands {
		if len(files) == 0 || slices.ContainsFunc(files, func(f string) bool { return norm.NFC.String(f) == norm.NFC.String(e.file) }) {
			e.cancel(errCancelled)
			found++
		}
	}
	if found == 0 {
		v.status("nothing of that is being fetched")
	}
}

// finish takes an errand off the list. What the server had to say about it is
// shown first.
func (v *conversation) finish(e *errand) {
	v.errands = slices.DeleteFunc(v.errands, func(other *errand) bool { return other == e })
	e.cancel(nil)
	v.drawProgress()
	if v.client != nil {
		v.catchUp(v.client)
	}
}

func (v *conversation) listed(e *errand, names []string, err error) {
	v.finish(e)
	if err != nil {
		v.failedErrand(e, err)
		return
	}
	v.memory.Listed(e.user, names)
	lines := make([]string, 1, 1+len(names))
	user := client.Safe([]byte(e.user))
	switch len(names) {
	case 0:
		lines[0] = user + " shares no files"
	case 1:
		lines[0] = user + " shares 1 file:"
	default:
		lines[0] = fmt.Sprintf("%s shares %d files:", user, len(names))
	}
	for _, name := range names {
		lines = append(lines, "  "+client.Safe([]byte(name)))
	}
	v.print(lines)
}

func (v *conversation) fetched(e *errand, saved transfer.Saved, err error) {
	v.finish(e)
	if err != nil {
		v.failedErrand(e, err)
		return
	}
	_, _, from, begun := e.progress.Look()
	text := fmt.Sprintf("saved %s from %s: %s", client.Safe([]byte(saved.Path)), client.Safe([]byte(e.user)), size(saved.Size))
	if took := time.Since(begun); v.interactive && took > time.Second {
		text += fmt.Sprintf(" in %s, %s/s", took.Round(100*time.Millisecond), size(rate(saved.Size-from, took)))
	}
	if from > 0 {
		text += fmt.Sprintf(", %s of them from an earlier try", size(from))
	}
	if !saved.Checked {
		text += ", unchecked"
	}
	v.status(text)
}

// failedErrand says what went wrong, unless the server has said it.
func (v *conversation) failedErrand(e *errand, err error) {
	v.failed++
	what := client.Safe([]byte(e.file))
	if e.file == "" {
		what = "the list"
	}
	what += " from " + client.Safe([]byte(e.user))
	switch done, _, _, _ := e.progress.Look(); {
	case errors.Is(err, transfer.ErrNoUser), errors.Is(err, transfer.ErrNotFound):
	case errors.Is(err, errCancelled) && done > 0:
		v.status(fmt.Sprintf("cancelled %s; /file dn goes on after the %s that came", what, size(done)))
	case errors.Is(err, errCancelled):
		v.status("cancelled " + what)
	case errors.Is(err, transfer.ErrTruncated) && done > 0:
		v.status(fmt.Sprintf("%s: %s; /file dn goes on after the %s that came", what, trim(err), size(done)))
	default:
		v.status(what + ": " + trim(err))
	}
}

// complain tells of what was not done.
func (v *conversation) complain(text string) {
	v.failed++
	v.status(text)
}

// endErrands breaks off what is under way.
func (v *conversation) endErrands() {
	for _, e := range v.errands {
		e.cancel(errCancelled)
	}
	close(v.over)
	v.work.Wait()
	v.peer.Close()
}
