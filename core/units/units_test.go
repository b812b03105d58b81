package units

import (
	"flag"
	"strings"
	"testing"
)

var (
	_ flag.Value = (*Size)(nil)
	_ flag.Value = (*Rate)(nil)
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		in    string
		want  Size
		print string
	}{
		{"64B", 64, "64B"},
		{"4096", 4096, "4KiB"},
		{"4KiB", 4096, "4KiB"},
		{"1.5KiB", 1536, "1536B"},
		{"256KiB", 256 << 10, "256KiB"},
		{"1MiB", 1 << 20, "1MiB"},
		{"3GiB", 3 << 30, "3GiB"},
		{"2kB", 2000, "2000B"},
		{"1MB", 1e6, "1000000B"},
		{"0", 0, "0B"},
	} {
		got, err := ParseSize(c.in)
		if err != nil || got != c.want || got.String() != c.print {
			t.Errorf("ParseSize(%q) = %d (%s), %v; want %d (%s)", c.in, got, got, err, c.want, c.print)
		}
	}
	for _, in := range []string{"", "B", "4K", "4k", "-1B", "1e3", "NaN", "64 B", "0.3B", "99999999999GiB", "4kib", "1.2.3B"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		} else if !strings.HasPrefix(err.Error(), "units: ") {
			t.Errorf("ParseSize(%q): %v lacks the package's prefix", in, err)
		}
	}
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		in    string
		want  Rate
		print string
	}{
		{"2000/s", 2000, "2000/s"},
		{"1.5k/s", 1500, "1500/s"},
		{"2M/s", 2e6, "2000000/s"},
		{"10/m", 10.0 / 60, "10/m"},
		{"120/m", 2, "2/s"},
		{"7/h", 7.0 / 3600, "7/h"},
		{"0.75/s", 0.75, "45/m"},
	} {
		got, err := ParseRate(c.in)
		if err != nil || got != c.want || got.String() != c.print {
			t.Errorf("ParseRate(%q) = %g (%s), %v; want %g (%s)", c.in, float64(got), got, err, float64(c.want), c.print)
		}
	}
	for _, in := range []string{"", "2000", "/s", "2000/d", "-1/s", "0/s", "off", "Inf/s", "1e9/s", "5/s/s"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("ParseRate(%q) = %g, want an error", in, float64(got))
		} else if !strings.HasPrefix(err.Error(), "units: ") {
			t.Errorf("ParseRate(%q): %v lacks the package's prefix", in, err)
		}
	}
}

// A bad value must leave the flag's default alone.
func TestSetKeepsOldValueOnError(t *testing.T) {
	size, rate := Size(5), Rate(6)
	if size.Set("4K") == nil || rate.Set("5") == nil {
		t.Fatal("no error")
	}
	if size != 5 || rate != 6 {
		t.Fatalf("changed to %v, %v", size, rate)
	}
	if err := size.Set("4KiB"); err != nil || size != 4096 {
		t.Fatalf("%v, %v", size, err)
	}
	if err := rate.Set("3/s"); err != nil || rate != 3 {
		t.Fatalf("%v, %v", rate, err)
	}
}
