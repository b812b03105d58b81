// Package agents puts one load on a server from several processes, maybe on several
// machines: a coordinator (bench) has the plan, agents (loadgen agent) carry it out, and their
// measurements are merged exactly, as if one process had made them.
//
// # How
//
// An agent connects to the coordinator by TCP. It tells its version, and a digest of what it makes of a plan. The
// coordinator refuses another version, and a build that makes other texts, due times or shares. Each load goes through
// these steps; the coordinator waits for all agents at each step:
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
// Who drives which client, what is said and when it is due follow from the plan, so agents never
// communicate with each other, and there is no communication while the load runs. Each agent's ledger checks
// what its own receivers got of all senders.
//
// # Clocks
//
// The offset of an agent's clock is measured by the shortest of many round trips: the
// agent read its clock somewhere between the two readings here, so offset ± RTT/2 is certain,
// and the middle is taken. The start is the same instant for all agents to within that. Latencies are of
// senders and receivers of one clock; latencies between agents are kept apart, with the sum of both bounds.
//
// # Why not over NATS
//
// All communication is between the coordinator and one agent at a time. A broker in between would
// lengthen the round trip that bounds the clocks. It would be one more process to run and to keep away from
// the measured CPUs, and it would have to be asked which agents are still there; an agent that ends
// here closes its connection.
//
// # What it refuses
//
// It does not continue a load that has lost an agent: that is ErrLost, and the load has no result.
// There is no password: anybody who reaches the coordinator's address can join, and agents connect to
// the servers that the coordinator names. Keep both in a private network.
//
// A Coordinator belongs to one goroutine.
package agents
