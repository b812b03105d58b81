package evio_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/evio"
)

func TestConformance(t *testing.T) { backendtest.Run(t, evio.Backend) }
