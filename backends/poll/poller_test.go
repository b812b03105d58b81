package poll

import (
	"testing"

	"chatbench/backends/internal/readiness/pollertest"
)

func TestPoller(t *testing.T) { pollertest.Run(t, newPoller) }
