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
	maxRequests = 200                    // at once
	redraw      = 250 * time.Millisecond // of the progress shown
)

var errCancelled = errors.New("terminal: cancelled")

// fileRequest is a list or a download under way, in a goroutine of its own. It
// passes its result to the conversation's goroutine.
type fileRequest struct {
	user, file string // file is empty for a list
	progress   transfer.Progress
	cancel     context.CancelCauseFunc
}

// file starts what a command about files asks for; c is nil while there is no server.
func (v *conversation) file(c *client.Client, cmd command.Command) {
	if cmd.Kind == command.Cancel {
		v.cancel(cmd.Files)
		return
	}
	if c == nil {
		v.commandFailed(nobodyToAsk)
		return
	}
	files := cmd.Files
	if cmd.Kind == command.List {
		files = []string{""}
	}
	for i, file := range files {
		if len(v.requests) == maxRequests {
			v.commandFailed(fmt.Sprintf("%d downloads are under way, which is the most; %s and the files after it were left out",
				maxRequests, client.Safe([]byte(files[i]))))
			return
		}
		v.start(c, cmd, file)
	}
}

// start starts one list or download.
func (v *conversation) start(c *client.Client, cmd command.Command, file string) {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &fileRequest{user: cmd.User, file: file, cancel: cancel}
	v.requests = append(v.requests, r)
	v.running.Go(func() {
		if cmd.Kind == command.List {
			names, err := v.peer.List(ctx, c, r.user)
			v.onLoop(func() { v.listed(r, names, err) })
			return
		}
		saved, err := v.peer.Fetch(ctx, c, r.user, r.file, &r.progress)
		v.onLoop(func() { v.fetched(r, saved, err) })
	})
}

// onLoop calls a function in the conversation's goroutine, or not at all if the
// conversation has ended.
func (v *conversation) onLoop(call func()) {
	select {
	case v.calls <- call:
	case <-v.done:
	}
}

// queueStatus has the conversation's goroutine show a text. It never waits: beyond
// maxStatuses texts it drops the new one.
func (v *conversation) queueStatus(text string) {
	select {
	case v.statuses <- text:
	default: // nobody reads so many at once
	}
}

// cancel cancels the downloads of some files, or all of them.
func (v *conversation) cancel(files []string) {
	found := 0
	for _, r := range v.requests {
		if len(files) == 0 || slices.ContainsFunc(files, func(f string) bool { return norm.NFC.String(f) == norm.NFC.String(r.file) }) {
			r.cancel(errCancelled)
			found++
		}
	}
	if found == 0 {
		v.status("no such download is under way")
	}
}

// finish takes a request off the list. It first shows what the server has sent
// about it.
func (v *conversation) finish(r *fileRequest) {
	v.requests = slices.DeleteFunc(v.requests, func(other *fileRequest) bool { return other == r })
	r.cancel(nil)
	v.drawProgress()
	if v.client != nil {
		v.catchUp(v.client)
	}
}

func (v *conversation) listed(r *fileRequest, names []string, err error) {
	v.finish(r)
	if err != nil {
		v.requestFailed(r, err)
		return
	}
	v.memory.Listed(r.user, names)
	lines := make([]string, 1, 1+len(names))
	user := client.Safe([]byte(r.user))
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

func (v *conversation) fetched(r *fileRequest, saved transfer.Saved, err error) {
	v.finish(r)
	if err != nil {
		v.requestFailed(r, err)
		return
	}
	_, _, from, begun := r.progress.Snapshot()
	text := fmt.Sprintf("saved %s from %s: %s", client.Safe([]byte(saved.Path)), client.Safe([]byte(r.user)), size(saved.Size))
	if took := time.Since(begun); v.interactive && took > time.Second {
		text += fmt.Sprintf(" in %s, %s/s", took.Round(100*time.Millisecond), size(rate(saved.Size-from, took)))
	}
	if from > 0 {
		text += fmt.Sprintf(", of which %s came in an earlier try", size(from))
	}
	if !saved.Checked {
		text += ", without a checksum"
	}
	v.status(text)
}

// requestFailed shows what went wrong, unless a notice of the server's has done so.
func (v *conversation) requestFailed(r *fileRequest, err error) {
	v.failedCommands++
	what := client.Safe([]byte(r.file))
	if r.file == "" {
		what = "the list"
	}
	what += " from " + client.Safe([]byte(r.user))
	switch done, _, _, _ := r.progress.Snapshot(); {
	case errors.Is(err, transfer.ErrNoUser), errors.Is(err, transfer.ErrNotFound):
	case errors.Is(err, errCancelled) && done > 0:
		v.status(fmt.Sprintf("cancelled %s; the next /file dn continues after the first %s", what, size(done)))
	case errors.Is(err, errCancelled):
		v.status("cancelled " + what)
	case errors.Is(err, transfer.ErrTruncated) && done > 0:
		v.status(fmt.Sprintf("%s: %s; the next /file dn continues after the first %s", what, trim(err), size(done)))
	default:
		v.status(what + ": " + trim(err))
	}
}

// commandFailed counts a command that was not carried out, and shows why.
func (v *conversation) commandFailed(text string) {
	v.failedCommands++
	v.status(text)
}

// cancelRequests cancels all requests and waits for their goroutines.
func (v *conversation) cancelRequests() {
	for _, r := range v.requests {
		r.cancel(errCancelled)
	}
	close(v.done)
	v.running.Wait()
	v.peer.Close()
}
