package simple_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"example.com/outside/simple"
)

func TestKeepsTheContract(t *testing.T) { backendtest.Run(t, simple.Backend) }
