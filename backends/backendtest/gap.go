package backendtest

import (
	"fmt"
	"runtime"

	"chatbench/backends"
)

// failureOf runs a case, as a test of that name, and says how it failed; "" if it
// passed.
func failureOf(name string, s scenario, b backends.Backend) string {
	r := &recorder{name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.cleanUp()
		r.protect(func() { s.run(&lab{tester: r, backend: b, patience: gapPatience}) })
	}()
	<-done
	return r.failure
}

// recorder is a tester that notes the first failure. It belongs to the
// goroutine that runs the case.
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

// protect takes a panic for a failure.
func (r *recorder) protect(f func()) {
	defer func() {
		if p := recover(); p != nil {
			r.Errorf("panic: %v", p)
		}
	}()
	f()
}

// cleanUp runs what Cleanup was given, the last first; a failure in one does
// not keep the others from running.
func (r *recorder) cleanUp() {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		f := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.protect(f)
		}()
		<-done
	}
}
