package report

import "testing"

// TestCutDistinct: names that are cut stay different from one another, and fit.
func TestCutDistinct(t *testing.T) {
	for _, names := range [][]string{
		{"epoll", "goroutine@coalesce=auto", "goroutine@coalesce=200us"},
		{"goroutine@flood=10/s@coalesce=auto", "goroutine@flood=20/s@coalesce=auto", "goroutine@flood=30/s@coalesce=auto"},
		{"服务器服务器服务器服务器-one", "服务器服务器服务器服务器-two"},
	} {
		for _, most := range []int{12, 14, 16, 60} {
			seen := make(map[string]bool)
			for name, short := range cutDistinct(names, most) {
				if seen[short] || columns(short) > most || columns(name) <= most && short != name {
					t.Errorf("%d columns: %s is %s", most, name, short)
				}
				seen[short] = true
			}
		}
	}
}
