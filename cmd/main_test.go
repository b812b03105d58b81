package house

import (
	"fmt"
	"os"
	"testing"
)

// TestMain has a directory for the commands, which tests build when they need them.
func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "commands"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(binaries)
	os.Exit(code)
}
