package server

import (
	"log/slog"
	"time"

	"chatbench/core"
	"chatbench/server/history"
)

const (
	// writeHistoryEvery is how often lines are written to the history file. Those of the last
	// such interval are lost if the server is killed.
	writeHistoryEvery = time.Second
	// historyErrorEvery limits log lines about errors: a full disk stays full for a while.
	historyErrorEvery = time.Minute
)

// historyFile is a history.File, or a fake in tests.
type historyFile interface {
	Append([]core.Line) error
	Long() bool
	Rewrite([]core.Line) (replaced bool, err error)
	Close() error
}

// historyWriter writes the lines of a room to the history file, on a goroutine of its own,
// so that nothing else waits for the disk.
type historyWriter struct {
	room   *core.Room
	file   historyFile
	log    *slog.Logger
	next   uint64    // number of the first line that is not written
	failed time.Time // when an error was last logged
	quit   chan struct{}
	ended  chan struct{}
}

// openHistory opens the history file; before is the lines in it.
func openHistory(o Options) (file *history.File, before []core.Line, err error) {
	file, found, err := history.Open(o.HistoryFile, o.History)
	if err != nil {
		return nil, nil, err
	}
	if found.Torn > 0 || found.Damaged > 0 {
		o.Log.Warn("the history file was damaged: undamaged lines are kept", "file", o.HistoryFile, "octets_cut_off", found.Torn, "lines_left_out", found.Damaged)
	}
	return file, found.Lines, nil
}

// newHistoryWriter writes the lines that are said after the first before lines, which the room
// was made with.
func newHistoryWriter(room *core.Room, file historyFile, before int, log *slog.Logger) *historyWriter {
	w := &historyWriter{room: room, file: file, log: log, next: uint64(before), quit: make(chan struct{}), ended: make(chan struct{})}
	go w.run()
	return w
}

func (w *historyWriter) run() {
	defer close(w.ended)
	t := time.NewTicker(writeHistoryEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			w.write(now)
		case <-w.quit:
			return
		}
	}
}

// write writes the lines that are not written yet.
func (w *historyWriter) write(now time.Time) {
	lines, said := w.room.HistorySince(w.next)
	if len(lines) == 0 {
		return
	}
	err := w.file.Append(lines)
	if err == nil {
		w.next = said
		if w.file.Long() {
			err = w.rewrite()
		}
	}
	if err != nil && now.Sub(w.failed) >= historyErrorEvery {
		w.failed = now
		w.log.Error("what was said cannot be written to the history file: is the disk full?", "err", err)
	}
}

// rewrite replaces the file by one with all lines that are kept.
func (w *historyWriter) rewrite() error {
	lines, said := w.room.HistorySince(0)
	replaced, err := w.file.Rewrite(lines)
	if replaced {
		w.next = said
	}
	return err
}

// close writes what is left, and closes the file.
func (w *historyWriter) close() {
	close(w.quit)
	<-w.ended
	w.failed = time.Time{} // so that an error is logged
	w.write(time.Now())
	if err := w.file.Close(); err != nil {
		w.log.Error("history file", "err", err)
	}
}
