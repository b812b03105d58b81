package process_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/process"
)

func TestConformance(t *testing.T) { backendtest.Run(t, process.Backend) }
