package thread

import (
	"strings"
	"testing"
)

func TestFits(t *testing.T) {
	if err := checkThreads(100); err != nil {
		t.Errorf("100 clients: %v", err)
	}
	err := checkThreads(1 << 20)
	if err == nil || !strings.Contains(err.Error(), "threads") || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a million clients: %v", err)
	}
}
