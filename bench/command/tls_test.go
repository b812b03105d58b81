package command

import (
	"context"
	"os"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// TestByTLS: an arm whose clients speak TLS takes turns with the same backend without TLS,
// is shown wherever arms are, is compared with no ceiling, and leaves no key behind.
func TestByTLS(t *testing.T) {
	programs, ctx, keys := bin(t), context.Background(), t.TempDir()
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", keys)
	got := try(ctx, programs, tinyRun("good,good@tls", "r", "-arm", "named=good@tls")...)
	if got.status != exitOK && got.status != exitViolated && got.status != exitDisturbed {
		t.Fatalf("%+v", got)
	}
	run, _, err := record.Read("r")
	if err != nil {
		t.Fatal(err)
	}
	m := run.Manifest
	for i, want := range []record.Arm{{Name: "good"}, {Name: "good@tls", TLS: true}, {Name: "named", TLS: true}, {Name: "good.aa", Again: true}} {
		if a := m.Arms[i]; a.Name != want.Name || a.TLS != want.TLS || a.Again != want.Again || a.Args != nil || a.Backend != "good" {
			t.Errorf("arm %d is %+v, want %+v", i, a, want)
		}
	}
	if says := m.Measures["tls"]; !strings.HasPrefix(says, "TLS 1.3, TLS_") || !strings.Contains(says, "ECDSA P-256") {
		t.Errorf("the manifest says of TLS %q", says)
	}
	for _, r := range run.Rounds {
		if r.Error != "" || r.Traffic.Lost != 0 || r.Traffic.Checked == 0 || r.FrozenCPU != 0 {
			t.Errorf("%+v", r)
		}
	}
	for _, line := range []string{"good@tls", "named"} {
		if !strings.Contains(got.stdout, line) {
			t.Errorf("no %s in\n%s", line, got.stdout)
		}
	}
	for _, line := range strings.Split(got.stdout, "\n") {
		if strings.Contains(line, "good@tls (server") && strings.Contains(strings.Split(line[strings.Index(line, "good@tls (server"):], ")")[0], "of the rate with the null server") {
			t.Errorf("an arm by TLS is held against a server that speaks none: %s", line)
		}
	}
	if got := try(ctx, programs, "verify", "r"); got.status != exitOK {
		t.Errorf("%+v", got)
	}
	if got := try(ctx, programs, "compare", "r"); got.status != exitOK || !strings.Contains(got.stdout, "good@tls") {
		t.Errorf("%+v", got)
	}
	if left, err := os.ReadDir(keys); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
