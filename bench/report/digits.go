package report

import (
	"fmt"
	"math"
)

// Figures are printed with as many digits as are meaningful.

// plain keeps three digits, and all digits of a whole number.
func plain(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.01:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// count formats large numbers in thousands and millions.
func count(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e9:
		return plain(v/1e9) + " G"
	case a >= 1e6:
		return plain(v/1e6) + " M"
	case a >= 1e4:
		return plain(v/1e3) + " k"
	case v == math.Trunc(v):
		return whole(v)
	}
	return plain(v)
}

func small(v float64) string {
	if math.Abs(v) >= 0.01 || v == 0 {
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// thousandth is for figures that are small per delivery: it prints them per 1000.
func thousandth(v float64) string { return plain(1000 * v) }

func whole(v float64) string   { return fmt.Sprintf("%.0f", v) }
func millis(v float64) string  { return plain(v / 1e6) }
func mebi(v float64) string    { return fmt.Sprintf("%.1f", v/(1<<20)) }
func kibi(v float64) string    { return plain(v / (1 << 10)) }
func percent(v float64) string { return fmt.Sprintf("%.0f", 100*v) }
