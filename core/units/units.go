// Package units parses and prints the quantities of the command lines: a rate
// is written 2000/s, a size 64B or 4KiB. Both types are flag.Values.
//
// It does not guess: a rate without a unit and a size whose unit is ambiguous
// (4K: 4000 or 4096?) are errors that say what to write instead. Any goroutine may
// call its functions; a value may be used from one goroutine at a time.
package units

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of octets.
type Size int64

// The units of a Size.
const (
	Byte Size = 1
	KiB       = 1024 * Byte
	MiB       = 1024 * KiB
	GiB       = 1024 * MiB
)

// sizeUnits in the order in which String tries them.
var sizeUnits = []struct {
	name string
	size Size
}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", Byte}}

var errSize = errors.New("units: a size is written like 64B, 4KiB or 1MiB")

// ParseSize parses 64B, 4KiB, 1.5MiB, 2GB; a number without a unit means octets.
func ParseSize(s string) (Size, error) {
	unit := Byte
	number := s
	for _, u := range sizeUnits {
		if head, ok := strings.CutSuffix(s, u.name); ok {
			unit, number = u.size, head
			break
		}
	}
	f, err := parseNumber(number)
	if err != nil {
		return 0, fmt.Errorf("%w, not %q", errSize, s)
	}
	octets := f * float64(unit)
	if octets != math.Trunc(octets) || octets >= 1<<62 {
		return 0, fmt.Errorf("units: %q is not a whole number of octets below 2^62", s)
	}
	return Size(octets), nil
}

// String is the shortest exact form in binary multiples: 4096 is 4KiB, 4097 is 4097B.
func (s Size) String() string {
	for _, u := range sizeUnits {
		binary := u.size&(u.size-1) == 0
		if binary && s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Set makes *Size a flag.Value.
func (s *Size) Set(text string) error {
	v, err := ParseSize(text)
	if err == nil {
		*s = v
	}
	return err
}

// Rate is a number of events a second.
type Rate float64

var errRate = errors.New("units: a rate is written like 2000/s, 1.5k/s or 10/m")

// ParseRate parses 2000/s, 1.5k/s, 2M/s, 10/m. A rate must be above zero; a caller that
// needs a value for "no rate" has to handle it itself.
func ParseRate(s string) (Rate, error) {
	var per float64
	number, unit, _ := strings.Cut(s, "/")
	switch unit {
	case "s":
		per = 1
	case "m":
		per = 60
	case "h":
		per = 3600
	default:
		return 0, fmt.Errorf("%w, not %q", errRate, s)
	}
	multiple := 1.0
	if head, ok := strings.CutSuffix(number, "k"); ok {
		number, multiple = head, 1e3
	} else if head, ok := strings.CutSuffix(number, "M"); ok {
		number, multiple = head, 1e6
	}
	f, err := parseNumber(number)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w, not %q", errRate, s)
	case f == 0:
		return 0, fmt.Errorf("units: the rate %q must be above zero", s)
	}
	return Rate(f * multiple / per), nil
}

// String writes the rate per second, or per minute or hour if only that is a whole number.
func (r Rate) String() string {
	f := float64(r)
	for _, u := range []struct {
		per  float64
		name string
	}{{1, "/s"}, {60, "/m"}, {3600, "/h"}} {
		// A rate per minute has been divided by 60: allow for rounding.
		if n := math.Round(f * u.per); n > 0 && math.Abs(f*u.per-n) < 1e-9*n {
			return strconv.FormatFloat(n, 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatFloat(f, 'g', 6, 64) + "/s"
}

// Set makes *Rate a flag.Value.
func (r *Rate) Set(text string) error {
	v, err := ParseRate(text)
	if err == nil {
		*r = v
	}
	return err
}

// parseNumber parses plain decimal numbers: no sign, exponent, NaN or infinity.
func parseNumber(s string) (float64, error) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}
