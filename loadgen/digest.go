package loadgen

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"chatbench/loadgen/message"
)

// Digest is a digest of what this program makes of a plan: some frames, due times and shares for fixed
// configs. Programs that drive one load together must have the same digest. It detects another build where
// the commit says nothing, and a processor that computes other due times.
func Digest() string {
	h := sha256.New()
	for _, poisson := range []bool{false, true} {
		digest(h, Config{Clients: 100, Senders: 10, Rate: 1234.5, Poisson: poisson, Size: 64, Seed: 1}, 3)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// digest adds a config's frames and due times, and which of the threads drives which client.
func digest(h hash.Hash, cfg Config, threads int) {
	script, senders, schedule := message.Script{Seed: cfg.Seed, Size: int(cfg.Size)}, cfg.senders(), cfg.schedule()
	frame, said := make([]byte, script.FrameLen()), make([]byte, script.BroadcastLen())
	for n := range uint64(1000) {
		user := uint64(senders[n%uint64(len(senders))])
		script.PutFrame(frame, user, n)
		script.PutBroadcast(said, user, n)
		h.Write(frame)
		h.Write(said)
		binary.Write(h, binary.LittleEndian, int64(schedule.Due(n)))
	}
	_, shares := assignClients(cfg.Clients, senders, 1, threads)
	for _, share := range shares {
		for _, client := range append(share, -1) {
			binary.Write(h, binary.LittleEndian, int64(client))
		}
	}
}
