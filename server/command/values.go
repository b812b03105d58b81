package command

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"chatbench/core"
	"chatbench/core/units"
)

// value is a flag.Value for a type that is none. set must accept what get returns.
type value struct {
	get func() string
	set func(string) error
}

var _ flag.Value = value{}

func (v value) String() string {
	if v.get == nil { // package flag may call it for the zero value
		return ""
	}
	return v.get()
}

func (v value) Set(text string) error { return v.set(text) }

// off is the value of a limit that is switched off.
const off = "off"

// word is a word that a flag accepts, and its meaning.
type word[T comparable] struct {
	text  string
	means T
}

// oneOf makes a flag that accepts a few words, and sets target to their meaning.
func oneOf[T comparable](target *T, words ...word[T]) flag.Value {
	return value{
		get: func() string {
			for _, w := range words {
				if w.means == *target {
					return w.text
				}
			}
			return ""
		},
		set: func(s string) error {
			var all []string
			for _, w := range words {
				if w.text == s {
					*target = w.means
					return nil
				}
				all = append(all, w.text)
			}
			return fmt.Errorf("it must be %s", strings.Join(all, " or "))
		},
	}
}

// throttle makes a flag for a rate that can be off.
func throttle(rate *units.Rate) flag.Value {
	return value{
		get: func() string {
			if *rate == 0 {
				return off
			}
			return rate.String()
		},
		set: func(s string) error {
			if s == off {
				*rate = 0
				return nil
			}
			return rate.Set(s)
		},
	}
}

var errFlood = errors.New("it must be a rate and a burst, such as 20/s,burst=300, or off")

// flood makes a flag for the allowance of flood control.
func flood(f *core.Flood) flag.Value {
	return value{
		get: func() string {
			if *f == (core.Flood{}) {
				return off
			}
			return fmt.Sprintf("%v,burst=%d", units.Rate(f.Rate), f.Burst)
		},
		set: func(s string) error {
			if s == off {
				*f = core.Flood{}
				return nil
			}
			rate, burst, found := strings.Cut(s, ",burst=")
			n, err := strconv.Atoi(burst)
			r, rateErr := units.ParseRate(rate)
			if !found || err != nil || rateErr != nil || n < 1 || n > maxBurst {
				return errFlood
			}
			*f = core.Flood{Rate: float64(r), Burst: n}
			return nil
		},
	}
}

// maxBurst bounds the burst of flood control, in messages.
const maxBurst = 1_000_000
