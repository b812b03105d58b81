// Package agents puts one load on a server from several processes, maybe on several
// machines: a coordinator (bench) has the plan, agents (loadgen agent) carry it out, and what they
// measured is merged exactly, as if it were one process's.
//
// # How
//
// An agent connects to the coordinator by TCP and says what it was built from and what it makes of a plan; another
// version is refused, and a build that makes other texts, due times or shares. Each load goes through these steps, of which the coordinator waits for each of all
// agents:
//
//	ping, pong   many times: the offset of the agent's clock
//	load         the plan and the agent's place in it
//	ready        its clients are in the room
//	start        when the load starts, by the agent's clock
//	coming       every few seconds, as long as something arrives
//	sent         what its senders have sent, when they are through
//	settle       what all have sent
//	quiet        all of that has arrived
//	leave        its clients may go
//	parts        what its threads measured
//
// Who drives which client, what is said and when it is due follows from the plan, so agents never
// talk with one another, and nobody talks while the load runs. Each agent's ledger checks what its own
// receivers got of everybody.
//
// # Clocks
//
// The offset of an agent's clock is taken from the round trip that was the shortest of many: the
// agent read its clock somewhere between the two readings here, so offset ± RTT/2 is certain,
// and the middle is taken. The start is the same instant for all to within that. Latencies are of
// senders and receivers of one clock; those across agents are kept apart, with the sum of both bounds.
//
// # Why not over NATS
//
// Everything is between the coordinator and one agent at a time. A broker in between would
// lengthen the round trip that bounds the clocks, would be one more process to run and to keep away from
// the CPUs that are measured, and would have to be asked who is still there; an agent that ends
// here closes its connection.
//
// # What it refuses
//
// It goes on with no load that has lost an agent: that is ErrLost, and the load has no result.
// There is no password: whoever reaches the coordinator's address can join, and agents connect to
// the servers they are told. Keep both in a network of your own.
//
// A Coordinator belongs to one goroutine.
package agents
