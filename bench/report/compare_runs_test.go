package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"chatbench/bench/record"
)

func TestCompare(t *testing.T) {
	older, newer := sample(t), sample(t)
	newer.Manifest.Name, newer.Manifest.Started = "later", older.Manifest.Started.Add(time.Hour)
	newer.Env.CPU = "Another CPU"
	newer.Manifest.Loads[0].Clients = 200
	runs := Compare([]*record.Run{newer, older}, []string{"b", "a"})
	if runs[0].Dir != "a" || runs[0].Differs != nil || len(runs[1].Differs) != 2 {
		t.Errorf("first %s, differs %v; then %v", runs[0].Dir, runs[0].Differs, runs[1].Differs)
	}
	var text bytes.Buffer
	WriteCompared(&text, runs, Style{})
	golden(t, "compare.txt", text.Bytes())
	for _, want := range []string{`warning: later: CPU "Another CPU", not "Some CPU"`, "later: load fixed1000"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q", want)
		}
	}
}
