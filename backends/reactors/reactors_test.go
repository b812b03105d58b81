package reactors_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/reactors"
)

func TestConformance(t *testing.T) { backendtest.Run(t, reactors.Backend) }
