package backends

import (
	"testing"
	"time"
)

func TestCoalesce(t *testing.T) {
	for text, want := range map[string]Coalesce{
		"off": CoalesceOff, "auto": CoalesceAuto,
		"200us": Coalesce(200 * time.Microsecond), "1ms": Coalesce(time.Millisecond), "10ms": CoalesceMost,
	} {
		var got, again Coalesce
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
		if err := again.Set(got.String()); err != nil || again != want {
			t.Errorf("%q gives %q, which is %v (%v)", text, got, again, err)
		}
	}
	for _, text := range []string{"", "0", "0s", "-1ms", "-1ns", "10001us", "1h", "1", "on", "Auto"} {
		got := CoalesceAuto
		if err := got.Set(text); err == nil || got != CoalesceAuto {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

func TestLooping(t *testing.T) {
	one := func() int { return 1 }
	all := []Backend{{Name: "a", Loops: one}, {Name: "b", Coalesces: true}, {Name: "c", Loops: one}}
	if got := Looping(all); got != "a or c" {
		t.Errorf("%q have loops", got)
	}
}

func TestCoalescing(t *testing.T) {
	a, b, c, not := Backend{Name: "a", Coalesces: true}, Backend{Name: "b", Coalesces: true}, Backend{Name: "c", Coalesces: true}, Backend{Name: "d"}
	for _, x := range []struct {
		all  []Backend
		want string
	}{
		{nil, ""}, {[]Backend{not}, ""}, {[]Backend{not, a}, "a"}, {[]Backend{a, not, b}, "a or b"}, {[]Backend{a, b, not, c}, "a, b or c"},
	} {
		if got := Coalescing(x.all); got != x.want {
			t.Errorf("%q, want %q", got, x.want)
		}
	}
}
