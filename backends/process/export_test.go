package process

import "chatbench/backends"

// Forks is how many children a server has forked.
func Forks(s backends.Server) int64 { return s.(*server).loop.forker.forks.Load() }

// SocketPair is what a child that waits is made with.
var SocketPair = socketPair
