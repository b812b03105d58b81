package goroutine_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/goroutine"
)

func TestConformance(t *testing.T) { backendtest.Run(t, goroutine.Backend) }
