package spin_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/spin"
)

func TestConformance(t *testing.T) { backendtest.Run(t, spin.Backend) }
