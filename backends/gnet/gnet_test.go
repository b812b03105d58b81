package gnet_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/gnet"
)

func TestConformance(t *testing.T) { backendtest.Run(t, gnet.Backend) }
