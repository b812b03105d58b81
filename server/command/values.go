package command

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"chatbench/core"
	"chatbench/core/units"
)

// oneOf makes a flag of words; set is called with the one that was chosen.
func oneOf(words string, set func(string)) func(string) error {
	return func(s string) error {
		if !slices.Contains(strings.Split(words, "|"), s) {
			return fmt.Errorf("it is %s", strings.ReplaceAll(words, "|", " or "))
		}
		set(s)
		return nil
	}
}

// throttle makes a flag of a rate that can be off.
func throttle(rate *units.Rate) func(string) error {
	return func(s string) error {
		if s == "off" {
			*rate = 0
			return nil
		}
		return rate.Set(s)
	}
}

var errFlood = errors.New("it is a rate and a burst, such as 20/s,burst=300, or off")

// flood makes a flag of what flood control lets through.
func flood(f *core.Flood) func(string) error {
	return func(s string) error {
		if s == "off" {
			*f = core.Flood{}
			return nil
		}
		rate, burst, found := strings.Cut(s, ",burst=")
		n, err := strconv.Atoi(burst)
		r, rateErr := units.ParseRate(rate)
		if !found || err != nil || rateErr != nil || n < 1 || n > mostBurst {
			return errFlood
		}
		*f = core.Flood{Rate: float64(r), Burst: n}
		return nil
	}
}

// mostBurst bounds the burst of flood control, in messages.
const mostBurst = 1_000_000

func floodText(f core.Flood) string {
	return fmt.Sprintf("%v,burst=%d", units.Rate(f.Rate), f.Burst)
}
