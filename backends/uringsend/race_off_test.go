//go:build !race

package uringsend

const racing = false
