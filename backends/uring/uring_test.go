package uring_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/uring"
)

func TestConformance(t *testing.T) { backendtest.Run(t, uring.Backend) }
