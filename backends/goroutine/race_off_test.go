//go:build !race

package goroutine

const racing = false
