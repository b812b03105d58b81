package uring

import (
	"testing"

	"chatbench/backends/internal/ring/ringtest"
)

func TestMain(m *testing.M) { ringtest.Main(m) }

func TestForbidden(t *testing.T) { ringtest.Forbidden(t, Backend) }
