package uringsend_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/uringsend"
)

func TestConformance(t *testing.T) { backendtest.Run(t, uringsend.Backend) }
