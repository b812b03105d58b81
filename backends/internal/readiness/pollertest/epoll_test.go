package pollertest_test

import (
	"testing"

	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/readiness/pollertest"
)

func TestEpoll(t *testing.T) { pollertest.Run(t, readiness.NewEpoll) }
