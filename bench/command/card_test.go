package command

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatbench/bench/record"
	"chatbench/bench/report"
)

// cardLine is a card of a few seconds.
func cardLine(backend, against string, more ...string) []string {
	return append([]string{"card", backend, "-against", against, "-rounds", "2", "-duration", "100ms", "-slice", "50ms", "-lead-in", "5ms",
		"-clients", "4", "-senders", "2", "-rate", "400/s", "-window", "4", "-foreign-max", "1"}, more...)
}

// suiteOutput is recorded output in a file: a case that passes, and one with the given
// action and line.
func suiteOutput(t *testing.T, action, line string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "suite.json")
	text := `{"Action":"pass","Package":"out/of/tree","Test":"TestConformance/talk"}
{"Action":"output","Package":"out/of/tree","Test":"TestConformance/slow","Output":"    slow.go:1: ` + line + `\n"}
{"Action":"` + action + `","Package":"out/of/tree","Test":"TestConformance/slow"}
{"Action":"pass","Package":"out/of/tree","Test":"TestConformance","Elapsed":3}
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCard: measured, then from the files of that run, in all forms.
func TestCard(t *testing.T) {
	programs, ctx := bin(t), context.Background()
	t.Chdir(t.TempDir())
	passes := func(got outcome) bool { // on a busy machine too
		return got.status == exitOK || got.status == exitDisturbed || got.status == exitViolated && behind(t, "results/*-card-good", "good")
	}
	got := try(ctx, programs, cardLine("good", "lossy", "-rounds", "1", "-suite", suiteOutput(t, "skip", "gap: it is <slow> | by design"), "-window", "none")...)
	if !passes(got) || got.status == exitOK && got.stdout == "" {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{
		"## good\n", "- most clients: no bound of its own",
		"- 1 of 2 cases passed, 0 failed, 0 could not be run, 1 are known gaps (out/of/tree, ", `Gap: slow: it is &lt;slow> \| by design.`,
		"fixed400: 4 clients, texts of 64 octets, 400 messages/s in all (open loop, fixed). ", "| figure | good | lossy | to lossy (95 %) | verdict |",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
	runs, _ := filepath.Glob("results/*-card-good")
	if len(runs) != 1 {
		t.Fatalf("runs: %v", runs)
	}
	if got := try(ctx, programs, "card", "-run", runs[0], "good", "-no-suite", "-o", "out"); !passes(got) || got.stdout != "" {
		t.Errorf("%+v", got)
	}
	data, err := os.ReadFile("out/card.json")
	var c report.Card
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || c.Backend != "good" || c.Reference != "lossy" || c.Suite != nil || len(c.Loads) != 1 || len(c.Measured) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	md, _ := os.ReadFile("out/card.md")
	page, _ := os.ReadFile("out/card.html")
	for _, text := range []string{string(md), string(page)} {
		if !strings.Contains(text, "The conformance suite was left out.") || !strings.Contains(text, "CPU per delivery") && c.Loads[0].Rounds > 0 {
			t.Errorf("%s", text)
		}
	}
	if got := try(ctx, programs, "card", "good", "-run", runs[0], "-suite", suiteOutput(t, "fail", "it was not cut"), "-format", "html"); got.status != exitViolated ||
		!strings.Contains(got.stdout, "<li>Failed: slow: it was not cut.</li>") {
		t.Errorf("%+v", got)
	}
	// The reference of that run lost messages: it is the backend of this card.
	if got := try(ctx, programs, "card", "lossy", "-run", runs[0], "-no-suite"); got.status != exitViolated || !strings.Contains(got.stdout, "NOT CORRECT") {
		t.Errorf("%+v", got)
	}
}

// TestCardDisturbed: a run that is mostly void says nothing about the backend, even
// if one of its rounds counts; the exit status and a line say so.
func TestCardDisturbed(t *testing.T) {
	programs, ctx := bin(t), context.Background()
	t.Chdir(t.TempDir())
	if got := try(ctx, programs, tinyRun("good,other", "run", "-rounds", "1", "-window", "none")...); got.status == exitFailed || got.status == exitUsage {
		t.Fatalf("%+v", got)
	}
	path := filepath.Join("run", record.RoundsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		var r record.Round
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Void = []record.Reason{record.Disturbed}; r.Arm == "other" {
			r.Void = nil
		}
		if err := json.NewEncoder(&out).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got := try(ctx, programs, "card", "other", "-run", "run", "-no-suite")
	if got.status != exitDisturbed || !strings.Contains(got.stdout, "1 rounds count, 0 are void") || !strings.Contains(got.stderr, "2 of 3 rounds of run run are void (2 disturbed)") || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("%+v", got)
	}
}

// TestCardMistakes: one line, before anything is measured.
func TestCardMistakes(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	if err := os.Mkdir("there", 0o755); err != nil {
		t.Fatal(err)
	}
	checkMistakes(t, programs, []mistake{
		{exitUsage, "give one backend, like bench card epoll", []string{"card"}},
		{exitUsage, "give one backend", []string{"card", "good", "lossy"}},
		{exitUsage, `unknown backend "nope"; bench list`, []string{"card", "nope", "-no-suite"}},
		{exitUsage, `unknown backend "nope"`, cardLine("good", "nope", "-no-suite")},
		{exitUsage, "is listed twice", cardLine("good", "good", "-no-suite")},
		{exitUsage, "flag provided but not defined: -arm", cardLine("good", "lossy", "-arm", "a=good")},
		{exitUsage, "markdown, html or json", cardLine("good", "lossy", "-format", "pdf")},
		{exitUsage, "give one of them", cardLine("good", "lossy", "-no-suite", "-suite", "x")},
		{exitUsage, "say where it is with -source DIR, or -suite FILE or -no-suite", cardLine("good", "lossy")},
		{exitFailed, "no such file", cardLine("good", "lossy", "-suite", "nowhere")},
		{exitUsage, "not a run's directory", []string{"card", "good", "-no-suite", "-run", "there"}},
		{exitFailed, "there exists already", []string{"card", "good", "-no-suite", "-o", "there"}},
	})
	if left, _ := filepath.Glob("results/*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
