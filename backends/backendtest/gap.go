package backendtest

import (
	"fmt"
	"runtime"

	"chatbench/backends"
)

// failureOf runs a case, as a test of that name, and returns its first error, or "" if
// it passed.
func failureOf(name string, s scenario, b backends.Backend) string {
	r := &recorder{name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.runCleanups()
		r.catchPanic(func() { s.run(&harness{tester: r, backend: b, timeout: gapTimeout}) })
	}()
	<-done
	return r.failure
}

// recorder is a tester that records the first failure. Only the goroutine that runs the
// case may use it.
type recorder struct {
	name     string
	failure  string
	cleanups []func()
}

func (r *recorder) Name() string        { return r.name }
func (r *recorder) Failed() bool        { return r.failure != "" }
func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Cleanup(f func())    { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Errorf(format string, args ...any) {
	if r.failure == "" {
		r.failure = fmt.Sprintf(format, args...)
	}
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// catchPanic calls f, and records a panic as a failure.
func (r *recorder) catchPanic(f func()) {
	defer func() {
		if p := recover(); p != nil {
			r.Errorf("panic: %v", p)
		}
	}()
	f()
}

// runCleanups calls the functions given to Cleanup, the last one first, all of them even
// if one fails.
func (r *recorder) runCleanups() {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		f := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.catchPanic(f)
		}()
		<-done
	}
}
