package epoll_test

import (
	"testing"

	"chatbench/backends/backendtest"
	"chatbench/backends/epoll"
)

func TestConformance(t *testing.T) { backendtest.Run(t, epoll.Backend) }
