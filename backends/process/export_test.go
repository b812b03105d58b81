package process

import "chatbench/backends"

// Forks is how many children a server has forked.
func Forks(s backends.Server) int64 { return s.(*server).loop.forker.forks.Load() }

// SocketPair makes the connection to a child that waits.
var SocketPair = socketPair
