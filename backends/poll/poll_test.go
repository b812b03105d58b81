package poll_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/poll"
)

func TestConformance(t *testing.T) { backendtest.Run(t, poll.Backend) }
