// Package fetch measures files on their way from client to client: two clients
// of the terminal's own kind log in, one shares a file of random octets, the
// other fetches it, and beside it, in turns, bare sockets carry as many octets
// from nobody to nowhere. While all that happens both clients talk.
//
// It refuses to leave anything on the disk, to count a file that was not compared
// with what was shared, and to decide what is fast enough. Run is called from one
// goroutine; two runs at once would measure each other.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatbench/core/units"
)

// ErrConfig is that a Config will not do.
var ErrConfig = errors.New("fetch: bad configuration")

// ErrInterrupted is that the context ended first.
var ErrInterrupted = errors.New("fetch: interrupted")

// Config is what to measure.
type Config struct {
	Server    string     // HOST:PORT
	Size      units.Size // of the file
	Dir       string     // where the file and its copy are for the time being
	Turns     int        // of each kind
	Rate      units.Rate // messages that the two clients say in all
	Objective time.Duration
	// Progress is told what is being done, from Run's goroutine. It may be nil.
	Progress func(doing string)
}

// Check says what is wrong with a Config.
func (c *Config) Check() error {
	switch {
	case c.Size < 1:
		return fmt.Errorf("%w: a file has at least 1B", ErrConfig)
	case c.Turns < 1 || c.Turns > 100:
		return fmt.Errorf("%w: from 1 to 100 turns, not %d", ErrConfig, c.Turns)
	case c.Rate <= 0 || c.Rate > 1000:
		return fmt.Errorf("%w: two people say at most 1000/s, not %v", ErrConfig, c.Rate)
	case c.Objective <= 0:
		return fmt.Errorf("%w: the objective is above zero", ErrConfig)
	}
	return nil
}

// settling is how long a file that has been touched is left alone, so that the
// sharer may remember its sum.
const settling = 200 * time.Millisecond

// Run measures. What is on the disk for it is gone when it returns.
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

// turn is bare sockets, the file, and the file once more.
func turn(ctx context.Context, cfg *Config, r *Result, files *files, pair *pair, talk *talk, i int) error {
	doing := func(what string) { cfg.Progress(fmt.Sprintf("turn %d of %d: %s", i+1, cfg.Turns, what)) }
	if err := files.touch(); err != nil {
		return err
	}
	time.Sleep(settling)
	doing("bare sockets")
	b, err := bare(ctx, int64(cfg.Size))
	if err != nil {
		return err
	}
	r.Bare = append(r.Bare, b)
	for _, kind := range []struct {
		name string
		runs *[]Carried
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
