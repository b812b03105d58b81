package selectio_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/selectio"
)

func TestConformance(t *testing.T) { backendtest.Run(t, selectio.Backend) }
