package thread

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFits(t *testing.T) {
	if err := fits(100); err != nil {
		t.Errorf("100 clients: %v", err)
	}
	err := fits(1 << 20)
	if err == nil || !strings.Contains(err.Error(), "threads") || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a million clients: %v", err)
	}
}

func TestLimitsInFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	groups := write("cgroup", "4:memory:/old\n0::/a/b.service\n")
	want := []string{"/sys/fs/cgroup/a/b.service/pids.max", "/sys/fs/cgroup/a/pids.max", "/sys/fs/cgroup/pids.max"}
	if got := cgroupFiles(groups); !slices.Equal(got, want) {
		t.Errorf("files %q in place of %q", got, want)
	}
	if got := cgroupFiles(filepath.Join(dir, "none")); got != nil {
		t.Errorf("without cgroups: %q", got)
	}
	if n, ok := readNumber(write("some", "4096\n")); n != 4096 || !ok {
		t.Errorf("read %d, %v", n, ok)
	}
	for _, file := range []string{write("all", "max\n"), filepath.Join(dir, "none")} {
		if n, ok := readNumber(file); ok {
			t.Errorf("%s: read %d, where there is no limit", file, n)
		}
	}
}
