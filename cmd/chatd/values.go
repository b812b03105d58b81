package main

import (
	"fmt"
	"slices"
	"strings"

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
