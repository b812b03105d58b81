package report

import "testing"

// TestStandingOf: the figures of the summary, and a verdict only for an arm that is
// decided.
func TestStandingOf(t *testing.T) {
	run := sample(t)
	for _, c := range []struct {
		decided []string
		word    string
	}{{nil, ""}, {[]string{"epoll", "goroutine.aa"}, "less"}} {
		s := StandingOf(run, run.Manifest.Loads[0], c.decided)
		if s.Load != "fixed1000" || s.Reference != "goroutine" || len(s.Titles) != 2 || s.Titles[0] != "CPU per delivery" || len(s.Arms) != 2 {
			t.Fatalf("%+v", s)
		}
		epoll, again := s.Arms[0], s.Arms[1]
		l := summarizeLoad(run, run.Manifest.Loads[0])
		v := l.arm("epoll").Figures[keyCPU].Versus
		f := epoll.Figures[0]
		if epoll.Name != "epoll" || epoll.Rounds != 8 || epoll.Decided != (c.decided != nil) || f.Word != c.word || f.Ratio+" ("+f.Interval+")" != ratioText(v) {
			t.Errorf("%+v, want %s", epoll, ratioText(v))
		}
		if !again.Again || again.Decided || again.Figures[0].Word != "" {
			t.Errorf("%+v", again)
		}
	}
	for _, c := range []struct {
		v    Versus
		want string
	}{
		{Versus{N: 8, Ratio: 1.2, Verdict: "dearer"}, "more"}, {Versus{N: 8, Ratio: 0.8, Verdict: "cheaper"}, "less"},
		{Versus{N: 8, Ratio: 1.01, Verdict: "tie"}, "tie"}, {Versus{N: 48, Ratio: 1.1, Verdict: "not resolved"}, "open"}, {Versus{}, ""},
	} {
		if got := c.v.standing(true).Word; got != c.want {
			t.Errorf("%+v: %q, want %q", c.v, got, c.want)
		}
	}
}
