package nbio_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/nbio"
)

func TestConformance(t *testing.T) { backendtest.Run(t, nbio.Backend) }
