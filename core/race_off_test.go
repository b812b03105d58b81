//go:build !race

package core

const racing = false
