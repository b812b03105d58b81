// Package fetch measures file transfers between clients. Two clients log in, one shares a file
// of random octets, and the other downloads it. In turns with that, bare sockets transfer as
// many octets. Meanwhile both clients talk.
//
// It leaves nothing on the disk, counts no file that was not compared with the shared one, and
// does not decide what is fast enough. Call Run from one goroutine; two runs at once would
// disturb each other.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatbench/core/units"
)

// ErrConfig means that a Config is invalid.
var ErrConfig = errors.New("fetch: invalid configuration")

// ErrInterrupted means that the context ended first.
var ErrInterrupted = errors.New("fetch: interrupted")

// Config is what to measure.
type Config struct {
	Server    string     // HOST:PORT
	Size      units.Size // of the file
	Dir       string     // where the file and its copy are kept during the run
	Turns     int        // how often each transfer is measured
	Rate      units.Rate // messages of both clients together
	Objective time.Duration
	// Progress is called with what is being done, from Run's goroutine. It may be nil.
	Progress func(doing string)
}

// Check returns an error if a Config is invalid.
func (c *Config) Check() error {
	switch {
	case c.Size < 1:
		return fmt.Errorf("%w: the size must be at least 1B", ErrConfig)
	case c.Turns < 1 || c.Turns > 100:
		return fmt.Errorf("%w: the number of turns must be from 1 to 100, not %d", ErrConfig, c.Turns)
	case c.Rate <= 0 || c.Rate > 1000:
		return fmt.Errorf("%w: the rate must be above 0 and at most 1000/s, not %v", ErrConfig, c.Rate)
	case c.Objective <= 0:
		return fmt.Errorf("%w: the objective must be above zero", ErrConfig)
	}
	return nil
}

// minAge is the pause after the file was touched, after which the sharer remembers its checksum.
const minAge = 200 * time.Millisecond

// Run measures. When it returns its files are removed.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	r, err := run(ctx, &cfg)
	if ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	return r, err
}

func run(ctx context.Context, cfg *Config) (*Result, error) {
	files, err := newFiles(cfg)
	if err != nil {
		return nil, err
	}
	defer files.remove()
	pair, err := join(ctx, cfg.Server, files)
	if err != nil {
		return nil, err
	}
	defer pair.leave()
	cfg.Progress("making a file of " + cfg.Size.String())
	if err := files.make(ctx); err != nil {
		return nil, err
	}
	r := newResult(cfg)
	talk := startTalk(pair, cfg.Rate)
	for i := range cfg.Turns {
		if err := turn(ctx, cfg, r, files, pair, talk, i); err != nil {
			talk.end()
			return nil, err
		}
	}
	cfg.Progress("waiting for the last messages")
	r.Chat = talk.end()
	r.finish(cfg)
	return r, nil
}

// turn measures bare sockets, the file, and the file once more.
func turn(ctx context.Context, cfg *Config, r *Result, files *files, pair *pair, talk *talk, i int) error {
	doing := func(what string) { cfg.Progress(fmt.Sprintf("turn %d of %d: %s", i+1, cfg.Turns, what)) }
	if err := files.touch(); err != nil {
		return err
	}
	time.Sleep(minAge)
	doing("bare sockets")
	b, err := bare(ctx, int64(cfg.Size))
	if err != nil {
		return err
	}
	r.Bare = append(r.Bare, b)
	for _, kind := range []struct {
		name string
		runs *[]Transfer
	}{{"fetching", &r.Fetched}, {"fetching again", &r.Again}} {
		doing(kind.name)
		talk.timing(true)
		c, err := pair.fetch(ctx, files)
		talk.timing(false)
		if err != nil {
			return err
		}
		*kind.runs = append(*kind.runs, c)
		doing("comparing")
		if err := files.compare(ctx); errors.Is(err, errDiffers) {
			r.Differing++
		} else if err != nil {
			return err
		}
	}
	return nil
}
